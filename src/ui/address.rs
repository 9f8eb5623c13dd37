//! The page's address: what is shown, as `key=value&key=value`.

/// Writes pairs; what could be misread is percent-encoded.
pub fn write(pairs: &[(String, String)]) -> String {
    let parts: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect();
    parts.join("&")
}

/// Reads pairs, with or without a `#` before them; parts without `=` are left out.
pub fn read(address: &str) -> Vec<(String, String)> {
    address
        .trim_start_matches('#')
        .split('&')
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut ahead = rest.clone();
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            if let (Some(high), Some(low)) = (digit(ahead.next()), digit(ahead.next())) {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
                continue;
            }
        }
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_is_read() {
        let pairs = vec![
            ("room".to_owned(), "reverse".to_owned()),
            ("name".to_owned(), "50 % & more = ünï#?+".to_owned()),
            ("empty".to_owned(), String::new()),
        ];
        let text = write(&pairs);
        assert!(text.is_ascii());
        assert_eq!(read(&text), pairs);
        assert_eq!(read(&format!("#{text}")), pairs);
    }

    #[test]
    fn damaged_addresses_do_no_harm() {
        assert_eq!(read(""), []);
        assert_eq!(read("#&&x&=&"), [(String::new(), String::new())]);
        assert_eq!(read("a=%"), [("a".into(), "%".into())]);
        assert_eq!(read("a=%4"), [("a".into(), "%4".into())]);
        assert_eq!(read("a=%zz%41"), [("a".into(), "%zzA".into())]);
        assert_eq!(read("a=%ff"), [("a".into(), "\u{fffd}".into())]);
        assert_eq!(read("a=b=c"), [("a".into(), "b=c".into())]);
    }
}
