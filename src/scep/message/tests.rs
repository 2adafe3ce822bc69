//! What no exchange of tests/corpus shows, in messages made here.

use super::*;
use crate::scep::{Certificate, ca_certificates};

/// The answer to GetCACert of a server with a CA and two RA certificates.
fn bundle() -> &'static [u8] {
    let answer = include_bytes!("../../../tests/corpus/raw/004-curl-get-getcacert.resp");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    &answer[end.unwrap() + 4..]
}

/// The same certificates one by one.
fn certificates() -> Vec<&'static [u8]> {
    signed_data(bundle(), |signed, _| Ok(signed.certificates().to_vec())).unwrap()
}

fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = (content.len() as u32).to_be_bytes();
    [&[tag, 0x84], &length[..], &content].concat()
}

fn oid(content: &[u8]) -> Vec<u8> {
    value(0x06, &[content])
}

fn algorithm(content: &[u8]) -> Vec<u8> {
    value(0x30, &[&oid(content), b"\x05\x00"])
}

fn content_info(kind: &[u8], content: &[&[u8]]) -> Vec<u8> {
    let explicit = value(0xa0, &[&value(0x30, content)]);
    value(0x30, &[&oid(kind), &explicit])
}

/// SignedData of any kind; `content` is eContent with its tag.
fn signed(content: Option<&[u8]>, certificates: &[&[u8]], signers: &[&[u8]]) -> Vec<u8> {
    let content = content.map_or(Vec::new(), |content| value(0xa0, &[content]));
    let encapsulated = value(
        0x30,
        &[&oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"), &content],
    );
    let certificates = value(0xa0, certificates);
    let crls = value(0xa1, &[b"\x30\x00"]);
    content_info(
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
        &[
            b"\x02\x01\x01",
            b"\x31\x00",
            &encapsulated,
            &certificates,
            &crls,
            &value(0x31, signers),
        ],
    )
}

fn attribute(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
    value(0x30, &[&oid(kind), &value(0x31, &[&value(tag, &[text])])])
}

fn scep(number: u8, text: &[u8]) -> Vec<u8> {
    attribute(&[SCEP, &[number]].concat(), 0x13, text)
}

fn signer_info(sid: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = value(0xa0, &[&attributes.concat()]);
    value(
        0x30,
        &[
            b"\x02\x01\x01",
            sid,
            &algorithm(b"\x60\x86\x48\x01\x65\x03\x04\x02\x01"),
            &attributes,
            &algorithm(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"),
            b"\x04\x00",
        ],
    )
}

/// A sid that names nobody.
const NOBODY: &[u8] = b"\x80\x01\x07";

fn read(content: Option<&[u8]>, attributes: &[Vec<u8>]) -> Result<Message, Unreadable> {
    Message::read(&signed(content, &[], &[&signer_info(NOBODY, attributes)]))
}

#[test]
fn a_failure_with_its_text() {
    let long = "ü".repeat(300);
    let message = read(
        None,
        &[
            attribute(FAIL_INFO_TEXT, 0x0c, long.as_bytes()),
            scep(7, &[b'x'; 300]),
            scep(4, b"9"),
            scep(3, b"2"),
            scep(2, b"3"),
            attribute(&[SCEP, &[6]].concat(), 0x04, &[7; 70]),
        ],
    )
    .unwrap();
    assert_eq!(message.message_type, Some(MessageType::CertRep));
    assert_eq!(message.pki_status, Some(PkiStatus::Failure));
    assert_eq!(message.fail_info, Some(FailInfo::Other(9)));
    assert_eq!(message.fail_info_text, Some("ü".repeat(256)));
    assert_eq!(message.transaction_id.as_deref(), Some(&[b'x'; 256][..]));
    assert_eq!(message.recipient_nonce.as_deref(), Some(&[7; 64][..]));
    assert_eq!(message.sender_nonce, None);
    assert_eq!(
        (message.digest, message.signature),
        (Digest::Sha256, Signature::Pss)
    );
    assert_eq!((message.envelope, message.signer), (Envelope::Absent, None));
}

#[test]
fn types_and_statuses_outside_the_rfc_are_read() {
    let message = read(None, &[scep(2, b"41"), scep(3, b"11")]).unwrap();
    assert_eq!(message.message_type, Some(MessageType::Other(41)));
    assert_eq!(message.pki_status, Some(PkiStatus::Other(11)));
    let message = read(None, &[scep(2, b"nineteen")]).unwrap();
    assert_eq!(message.message_type, None);
}

#[test]
fn what_is_signed_but_no_scep() {
    assert_eq!(read(None, &[]), Err(Unreadable::NotScep));
    assert_eq!(read(None, &[scep(5, b"nonce")]), Err(Unreadable::NotScep));
    assert_eq!(Message::read(bundle()), Err(Unreadable::NoSigner));
    let enveloped = content_info(ENVELOPED_DATA, &[b"\x02\x01\x00"]);
    assert_eq!(Message::read(&enveloped), Err(Unreadable::NotSigned));
    for other in [certificates()[0], b"<html>", b"0<html>", b"\x02\x01\x01"] {
        assert_eq!(Message::read(other), Err(Unreadable::NotCms));
    }
}

#[test]
fn every_kind_of_recipient() {
    let issuer = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x13\x01a";
    let named = value(0x30, &[issuer, b"\x02\x02\x00\xff"]);
    let key_transport = |rid: &[u8]| value(0x30, &[b"\x02\x01\x00", rid, b"\x30\x00\x04\x00"]);
    let recipients = value(
        0x31,
        &[
            &value(0xa1, &[b"\x02\x01\x03"]),
            &key_transport(&named),
            &key_transport(b"\x80\x02\x01\x02"),
            &value(0xa3, &[b"\x02\x01\x00"]),
        ],
    );
    let encrypted = value(
        0x30,
        &[&oid(b"\x2a"), &algorithm(b"\x2a\x03"), b"\x80\x01\x00"],
    );
    let originator = value(0xa0, &[b"\x30\x00"]);
    let enveloped = content_info(
        ENVELOPED_DATA,
        &[b"\x02\x01\x00", &originator, &recipients, &encrypted],
    );
    let message = read(Some(&value(0x04, &[&enveloped])), &[scep(2, b"19")]).unwrap();
    assert_eq!(message.envelope, Envelope::Enveloped);
    let named = Recipient::IssuerAndSerial {
        issuer: Name::new(issuer),
        serial: Serial::new(b"\0\xff"),
    };
    let key_id = Recipient::KeyId(KeyId::new(&[1, 2]));
    assert_eq!(
        message.recipients,
        [Recipient::Other, named, key_id, Recipient::Other]
    );
    let cipher = message.content_encryption.unwrap();
    assert_eq!(
        (cipher.as_str(), cipher.oid().to_string().as_str()),
        ("other", "1.2.3")
    );
    assert!(cipher < Cipher::Rc2);

    let many = value(
        0x31,
        &[&key_transport(b"\x80\x01\x01").repeat(MAX_RECIPIENTS + 1)],
    );
    let enveloped = content_info(ENVELOPED_DATA, &[b"\x02\x01\x00", &many, &encrypted]);
    let message = read(Some(&value(0x04, &[&enveloped])), &[scep(2, b"19")]).unwrap();
    assert_eq!(message.recipients.len(), MAX_RECIPIENTS);
}

#[test]
fn an_unreadable_envelope_leaves_the_rest_readable() {
    for (content, envelope) in [
        (&b"\x04\x00"[..], Envelope::Empty),
        (b"\x24\x80\x00\x00", Envelope::Empty),
        (b"\x04\x03abc", Envelope::Unreadable),
        (
            b"\x24\x07\x04\x01\x30\x24\x02\x04\x00",
            Envelope::Unreadable,
        ),
    ] {
        let message = read(Some(content), &[scep(2, b"19")]).unwrap();
        assert_eq!(
            (message.envelope, message.content_encryption),
            (envelope, None)
        );
        assert_eq!(message.message_type, Some(MessageType::PKCSReq));
    }
}

#[test]
fn the_signer_is_the_one_that_is_named() {
    let certificates = certificates();
    let all = ca_certificates(bundle()).unwrap();
    for expected in &all {
        // By number and name, as the corpus has it, and by key.
        let der = certificates
            .iter()
            .find(|der| Certificate::read(der).unwrap().serial == expected.serial);
        let (issuer, serial) = Reader::new(der.unwrap())
            .constructed(SEQUENCE, |all| {
                all.constructed(SEQUENCE, |tbs| {
                    tbs.skip()?;
                    let serial = tbs.raw()?;
                    tbs.skip()?;
                    Ok((tbs.raw()?, serial))
                })
            })
            .unwrap();
        let mut sids = vec![value(0x30, &[issuer, serial])];
        if let Some(id) = &expected.subject_key_id {
            sids.push(value(0x80, &[id]));
        }
        for sid in sids {
            let info = signer_info(&sid, &[scep(2, b"3")]);
            let message = Message::read(&signed(None, &certificates, &[&info])).unwrap();
            assert_eq!(message.signer.unwrap().serial, expected.serial);
            let message = Message::read(&signed(None, &[], &[&info])).unwrap();
            assert_eq!(message.signer, None);
        }
    }
}

#[test]
fn of_two_layers_of_certificates_the_inner_counts() {
    let outer = &certificates()[1..2];
    let next = signed(Some(&value(0x04, &[bundle()])), outer, &[]);
    let serials = |body: &[u8]| {
        let read = ca_certificates(body).unwrap();
        let serials = read
            .into_iter()
            .map(|certificate| certificate.serial.text());
        serials.collect::<Vec<_>>()
    };
    assert_eq!(serials(&next), serials(bundle()));
    assert_eq!(
        serials(&signed(Some(b"\x04\x03abc"), outer, &[])),
        serials(outer[0])
    );
    assert_eq!(
        ca_certificates(&signed(None, &[], &[])),
        Err(Unreadable::NoCertificate)
    );
    assert_eq!(ca_certificates(b"<html>"), Err(Unreadable::NotCms));
    assert_eq!(ca_certificates(b""), Err(Unreadable::NoMessage));
    let cut = &bundle()[..1_000];
    assert_eq!(ca_certificates(cut), Err(Unreadable::Truncated));
}
