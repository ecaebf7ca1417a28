//! table turns CSV into JSON: POST a table whose first row has names, get a list of objects.
//!
//!     rustc -O -C target-feature=+crt-static -o table table.rs
//!     wherry program run ./table < request.http
//!
//! Requests come on standard input, responses go to standard output, until the input ends. Fields may be in quotes (RFC 4180).

use std::io::{self, BufRead, Read, Write};

const HEADER_MAX: u64 = 16 << 10;
const BODY_MAX: u64 = 1 << 20;

struct Request {
    method: String,
    body: Vec<u8>,
}

/// read_request returns None where the input ends.
fn read_request(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let mut head = input.by_ref().take(HEADER_MAX);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let method = line.split(' ').next().unwrap_or("").to_string();
    let mut length = 0u64;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(bad("the header doesn't end"));
        }
        let field = line.trim_end();
        if field.is_empty() {
            break;
        }
        if let Some((name, value)) = field.split_once(':') {
            if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "say the table's Content-Length"));
            }
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(|_| bad("Content-Length isn't a number"))?;
            }
        }
    }
    if length > BODY_MAX {
        return Err(bad("the body is too large"));
    }
    let mut body = vec![0; length as usize];
    input.read_exact(&mut body)?;
    Ok(Some(Request { method, body }))
}

/// rows reads a table, RFC 4180.
fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut any) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
                any = false;
                continue;
            }
            c => field.push(c),
        }
        any = true;
    }
    if quoted {
        return Err("a quote isn't closed".to_string());
    }
    if any {
        row.push(field);
        rows.push(row);
    }
    Ok(rows)
}

fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn convert(body: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the table isn't UTF-8".to_string())?;
    let rows = rows(text)?;
    let (names, rows) = rows.split_first().ok_or("the table is empty")?;
    let mut out = String::from("[");
    for (i, row) in rows.iter().enumerate() {
        if row.len() != names.len() {
            return Err(format!("row {} has {} fields, the first one {}", i + 2, row.len(), names.len()));
        }
        out.push_str(if i == 0 { "\n  {" } else { ",\n  {" });
        for (k, (name, value)) in names.iter().zip(row).enumerate() {
            if k > 0 {
                out.push_str(", ");
            }
            quote(name, &mut out);
            out.push_str(": ");
            quote(value, &mut out);
        }
        out.push('}');
    }
    out.push_str("\n]\n");
    Ok(out)
}

fn answer(out: &mut impl Write, status: &str, kind: &str, body: &str) -> io::Result<()> {
    let all = format!("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}", status, kind, body.len(), body);
    out.write_all(all.as_bytes())?;
    out.flush()
}

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut out = io::stdout().lock();
    loop {
        match read_request(&mut input) {
            Ok(None) => return Ok(()),
            Ok(Some(r)) if r.method == "POST" => match convert(&r.body) {
                Ok(json) => answer(&mut out, "200 OK", "application/json", &json)?,
                Err(why) => answer(&mut out, "422 Unprocessable Entity", "text/plain", &format!("{}\n", why))?,
            },
            Ok(Some(_)) => answer(&mut out, "405 Method Not Allowed", "text/plain", "POST a table\n")?,
            Err(e) if e.kind() == io::ErrorKind::Unsupported => return answer(&mut out, "411 Length Required", "text/plain", &format!("{}\n", e)),
            Err(e) => {
                answer(&mut out, "400 Bad Request", "text/plain", &format!("{}\n", e))?;
                return Err(e);
            }
        }
    }
}
