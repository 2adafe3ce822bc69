//! One throw-away PKI for all tests of the process.

use std::sync::OnceLock;

use ndes_proxy::commands::demo::pki::{Issued, Key, Leaf, Pki};

use super::{INTERNAL, OTHER, PUBLIC};

pub struct TestPki {
    /// The root that devices trust.
    pub public_root: Pki,
    /// For `PUBLIC`.
    pub public: Issued,
    /// For `OTHER`.
    pub other: Issued,
    /// The root that the proxy trusts.
    pub internal_root: Pki,
    /// For `INTERNAL`.
    pub internal: Issued,
}

pub fn pki() -> &'static TestPki {
    static PKI: OnceLock<TestPki> = OnceLock::new();
    PKI.get_or_init(|| {
        let public_root = Pki::new("public root", Key::EcdsaP256).unwrap();
        let internal_root = Pki::new("internal root", Key::EcdsaP256).unwrap();
        TestPki {
            public: public_root.issue(&Leaf::server(&[PUBLIC])).unwrap(),
            other: public_root.issue(&Leaf::server(&[OTHER])).unwrap(),
            public_root,
            internal: internal_root.issue(&Leaf::server(&[INTERNAL])).unwrap(),
            internal_root,
        }
    })
}
