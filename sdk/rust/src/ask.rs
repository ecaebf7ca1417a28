//! Ask the edge for things while a request is answered.

use std::io;

/// How large a response may be, head included.
pub const ANSWER_MAX: usize = 16 << 20;

/// What the edge answered. Its fields' names and values are those of the message.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// What is done of it stands in the registers, so that a signal doesn't have anything sent twice. 403 to 423 are of 32-bit processors: Linux never has it on x86-64.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn call(out: &[u8], input: &mut [u8]) -> isize {
    const EINTR: isize = -4;
    let (mut at, mut size, mut descriptor, mut got) = (out.as_ptr(), out.len(), 0usize, 0usize);
    loop {
        let mut result: isize = 422;
        // SAFETY: the call reads out and writes to input, no more than their lengths. It changes the registers named.
        unsafe {
            std::arch::asm!("syscall", inlateout("rax") result, inlateout("rdi") at, inlateout("rsi") size, in("rdx") input.as_mut_ptr(), in("r10") input.len(),
                inlateout("r8") descriptor, inlateout("r9") got, lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        if result != EINTR {
            return result;
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn call(_: &[u8], _: &mut [u8]) -> isize {
    -38 // ENOSYS
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Asks for an absolute URL by one system call of Wherry's own, `wherry_ask`. Where that isn't there the error is `Unsupported`; where nobody answers,
/// `ConnectionRefused`.
pub fn ask(method: &str, url: &str, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let host = url.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or("")).unwrap_or("");
    let ends = |s: &str| s.is_empty() || s.contains([' ', '\r', '\n', '\t']);
    if host.is_empty() || ends(method) || ends(url) || fields.iter().any(|(n, v)| ends(n) || n.contains(':') || v.contains(['\r', '\n'])) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an absolute URL, or a method or field that ends its line"));
    }
    let mut out = format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in fields {
        out += &format!("{name}: {value}\r\n");
    }
    let mut out = (out + "\r\n").into_bytes();
    out.extend_from_slice(body);
    let mut input = vec![0; ANSWER_MAX];
    match call(&out, &mut input) {
        -38 => Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel has no system call wherry_ask: the program asks on Wherry alone")),
        n if n < 0 => Err(io::Error::from_raw_os_error(-n as i32)),
        n => parse(&input[..n as usize], method == "HEAD"),
    }
}

/// Takes a response apart, and the framing off its body (RFC 9112 §6.3, §7.1).
fn parse(mut message: &[u8], bodyless: bool) -> io::Result<Answer> {
    loop {
        let end = message.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| bad("the edge's answer has no head"))?;
        let head = std::str::from_utf8(&message[..end]).map_err(|_| bad("the edge's answer isn't UTF-8"))?;
        message = &message[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|l| l.strip_prefix("HTTP/1.")).and_then(|l| l.get(2..5)).and_then(|s| s.parse::<u16>().ok());
        let status = status.ok_or_else(|| bad("the edge's answer has no status"))?;
        if status < 200 {
            continue; // interim: RFC 9110 §15.2
        }
        let fields = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_string(), v.trim_matches([' ', '\t']).to_string())).collect();
        let mut answer = Answer { status, fields, body: Vec::new() };
        if !bodyless && status != 204 && status != 304 {
            answer.body = if answer.get("transfer-encoding").is_some() {
                unchunk(message)?
            } else if let Some(length) = answer.get("content-length") {
                let whole = length.parse().ok().and_then(|n: usize| message.get(..n));
                whole.ok_or_else(|| bad("the edge's answer broke off"))?.to_vec()
            } else {
                message.to_vec()
            };
        }
        return Ok(answer);
    }
}

fn unchunk(mut b: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let cut = || bad("the edge's answer broke off");
    loop {
        let end = b.windows(2).position(|w| w == b"\r\n").ok_or_else(cut)?;
        let line = std::str::from_utf8(&b[..end]).map_err(|_| cut())?;
        let n = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16).map_err(|_| cut())?;
        b = &b[end + 2..];
        if n == 0 {
            return Ok(body);
        }
        body.extend_from_slice(b.get(..n).ok_or_else(cut)?);
        b = b.get(n..).and_then(|rest| rest.strip_prefix(b"\r\n")).ok_or_else(cut)?;
    }
}
