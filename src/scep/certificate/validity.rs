//! When a certificate is valid.

use time::{Date, Month};

use crate::scep::Unreadable;
use crate::scep::ber::Reader;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads notBefore and notAfter of a Validity, in seconds since 1970. Either is `None` if it is not
/// a time.
pub(super) fn read(validity: &mut Reader<'_>) -> Result<[Option<i64>; 2], Unreadable> {
    Ok([time(validity)?, time(validity)?])
}

fn time(validity: &mut Reader<'_>) -> Result<Option<i64>, Unreadable> {
    Ok(match validity.peek()? {
        Some(tag @ (UTC_TIME | GENERALIZED_TIME)) => seconds(tag, validity.primitive(tag)?),
        Some(_) => {
            validity.skip()?;
            None
        }
        None => None,
    })
}

/// `YYMMDDhhmm[ss]` or `YYYYMMDDhhmm[ss[.f]]`, then `Z` or `+hhmm` (X.680 §46, §47).
fn seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let (year, rest) = if tag == GENERALIZED_TIME {
        let (century, rest) = two(text)?;
        let (year, rest) = two(rest)?;
        (century * 100 + year, rest)
    } else {
        let (year, rest) = two(text)?;
        // RFC 5280 §4.1.2.5.1
        (if year < 50 { 2000 + year } else { 1900 + year }, rest)
    };
    let (month, rest) = two(rest)?;
    let (day, rest) = two(rest)?;
    let (hour, rest) = two(rest)?;
    let (minute, rest) = two(rest)?;
    let (second, rest) = two(rest).unwrap_or((0, rest));
    let rest = match rest {
        [b'.' | b',', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit());
            &fraction[digits.count()..]
        }
        _ => rest,
    };
    let east = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let (hours, rest) = two(offset)?;
            let (minutes, []) = two(rest)? else {
                return None;
            };
            let offset = i64::from(hours) * 3600 + i64::from(minutes) * 60;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    let [hour, minute, second] = [hour, minute, second].map(|two| two as u8);
    let at = date.with_hms(hour, minute, second).ok()?.assume_utc();
    Some(at.unix_timestamp() - east)
}

/// Splits off two decimal digits.
fn two(text: &[u8]) -> Option<(i32, &[u8])> {
    let [tens @ b'0'..=b'9', units @ b'0'..=b'9', rest @ ..] = text else {
        return None;
    };
    Some((i32::from(tens - b'0') * 10 + i32::from(units - b'0'), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "7001010000Z", Some(0)),
            (UTC_TIME, "700101013000+0130", Some(0)),
            (UTC_TIME, "691231235959-0000", Some(-1)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "19700101000001Z", Some(1)),
            (GENERALIZED_TIME, "19700101000001.99Z", Some(1)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "700132000000Z", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "700101240000Z", None),
            (UTC_TIME, "700101000000Zx", None),
            (UTC_TIME, "700101000000+01", None),
            (UTC_TIME, "", None),
        ] {
            assert_eq!(seconds(tag, text.as_bytes()), expected, "{text}");
        }
    }
}
