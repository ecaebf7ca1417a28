//! Have a closure answer the requests that Wherry gives a program.
//!
//!     fn main() -> std::io::Result<()> {
//!         wherry::serve(|request, response| {
//!             response.set("Content-Type", "text/plain");
//!             response.body = format!("hello, {}\n", request.target).into_bytes();
//!         })
//!     }
//!
//! Requests and responses are HTTP/1.1 messages, up to `MESSAGE_MAX` bytes. A response leaves and the next request comes by one system call of Wherry's own,
//! `wherry_exchange`; where it isn't there, by standard output and input, so the same file runs on any Linux: `./hello < request.http`. One thread, one
//! request at a time. It depends on nothing but std.

mod ask;

pub use ask::{ANSWER_MAX, Answer, ask};
use std::io::{self, Read, Write};
use std::sync::Mutex;

/// How large a request may be.
pub const MESSAGE_MAX: usize = 16 << 20;
const HEAD_MAX: usize = 64 << 10;
/// What is logged beyond goes before the response.
const LOG_MAX: usize = 64 << 10;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A request, whose names and values are those of the message.
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The first field of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
}

/// A response: 200 and nothing else, to begin with.
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    fields: Vec<u8>,
    failed: bool,
}

impl Response {
    fn new() -> Response {
        Response { status: 200, body: Vec::new(), fields: Vec::new(), failed: false }
    }

    /// Adds a field. Content-Length is set by itself. One with a line's end in it makes the answer 500.
    pub fn set(&mut self, name: &str, value: &str) {
        self.failed |= name.is_empty() || name.contains([':', ' ', '\r', '\n']) || value.contains(['\r', '\n']);
        let _ = write!(self.fields, "{name}: {value}\r\n"); // into memory
    }

    /// Appends the message to `out`, without a body for HEAD.
    fn finish(mut self, head_only: bool, out: &mut Vec<u8>) {
        if self.failed || !(200..=999).contains(&self.status) {
            self = Response { status: 500, ..Response::new() };
        }
        let _ = write!(out, "HTTP/1.1 {} \r\n", self.status); // the reason may be empty: RFC 9112 §4
        out.extend_from_slice(&self.fields);
        if self.status != 204 && self.status != 304 {
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        } else {
            self.body.clear(); // RFC 9110 §6.4.1
        }
        out.extend_from_slice(b"\r\n");
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Appends to a response's body.
impl Write for Response {
    fn write(&mut self, p: &[u8]) -> io::Result<usize> {
        self.body.extend_from_slice(p);
        Ok(p.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to the program's log. It goes with the response.
pub fn log(line: &str) {
    let mut log = LOG.lock().unwrap_or_else(|e| e.into_inner());
    log.extend_from_slice(line.as_bytes());
    log.push(b'\n');
    if log.len() > LOG_MAX {
        let _ = io::stderr().write_all(&log); // there is nowhere to say that it failed
        log.clear();
    }
}

/// 403 to 423 are of 32-bit processors: Linux never has it on x86-64.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn exchange(out: &[u8], input: &mut [u8], log: &[u8]) -> isize {
    let mut result: isize = 423;
    // SAFETY: the call reads out and log and writes to input, no more than their lengths. It changes the registers named.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") result,
            inlateout("rdi") out.as_ptr() => _, inlateout("rsi") out.len() => _, in("rdx") input.as_mut_ptr(), in("r10") input.len(),
            inlateout("r8") log.as_ptr() => _, inlateout("r9") log.len() => _, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn exchange(_: &[u8], _: &mut [u8], _: &[u8]) -> isize {
    -1
}

/// What was said and heard. What is said waits for the next read, to go with it.
struct Stream {
    plain: bool, // by standard input and output
    input: Vec<u8>,
    have: usize, // of input
    out: Vec<u8>,
}

impl Stream {
    /// Sends what waits and reads into input up to `most`: how much came, 0 at the end.
    fn swap(&mut self, most: usize) -> io::Result<usize> {
        if self.input.len() < most {
            self.input.resize(most, 0);
        }
        let room = &mut self.input[self.have..most.max(self.have)];
        let mut log = LOG.lock().unwrap_or_else(|e| e.into_inner());
        let got = if self.plain {
            let _ = io::stderr().write_all(&log); // there is nowhere to say that it failed
            let mut to = io::stdout();
            to.write_all(&self.out)?;
            to.flush()?;
            if room.is_empty() { 0 } else { io::stdin().read(room)? }
        } else {
            const EINTR: isize = -4;
            let mut n = exchange(&self.out, room, &log);
            while n == EINTR {
                n = exchange(&[], room, &[]); // interrupted while it waited: all was written
            }
            if n < 0 {
                return Err(io::Error::from_raw_os_error(-n as i32));
            }
            n as usize
        };
        log.clear();
        self.out.clear();
        self.have += got;
        Ok(got)
    }

    /// Reads until a request is whole: where its head, its body and all of it end. None where the input ends.
    fn request(&mut self) -> io::Result<Option<(usize, usize, usize)>> {
        let mut seen = 0;
        let head = loop {
            if let Some(at) = self.input[seen..self.have].windows(4).position(|w| w == b"\r\n\r\n") {
                break seen + at + 4;
            }
            seen = self.have.saturating_sub(3);
            if self.have >= HEAD_MAX {
                return Err(bad("its head is too large"));
            }
            if self.swap(HEAD_MAX)? == 0 {
                return if self.have == 0 { Ok(None) } else { Err(bad("its head doesn't end")) };
            }
        };
        let Some(size) = parse(&self.input[..head], &[])?.1 else {
            return self.chunks(head).map(Some);
        };
        let all = head + size;
        while self.have < all {
            if self.swap(all)? == 0 {
                return Err(bad("its body doesn't end"));
            }
        }
        Ok(Some((head, head + size, all)))
    }

    /// Reads chunks until the last one, and takes their framing off (RFC 9112 §7.1), in place.
    fn chunks(&mut self, head: usize) -> io::Result<(usize, usize, usize)> {
        let (mut from, mut to) = (head, head);
        loop {
            let line = self.line(from)?;
            let digits = std::str::from_utf8(&self.input[from..line]).ok().and_then(|s| s.split(';').next());
            let size = digits.and_then(|s| usize::from_str_radix(s.trim(), 16).ok()).filter(|n| *n <= MESSAGE_MAX).ok_or_else(|| bad("a chunk's size"))?;
            from = line + 2;
            if size == 0 {
                loop {
                    let line = self.line(from)?; // trailers are dropped
                    let last = line == from;
                    from = line + 2;
                    if last {
                        return Ok((head, to, from));
                    }
                }
            }
            self.more(from + size + 2)?;
            if self.input[from + size..][..2] != *b"\r\n" {
                return Err(bad("a chunk is longer than its size"));
            }
            self.input.copy_within(from..from + size, to);
            (from, to) = (from + size + 2, to + size);
        }
    }

    /// Reads until a line that begins at from is whole: where it ends.
    fn line(&mut self, from: usize) -> io::Result<usize> {
        loop {
            if let Some(at) = self.input[from..self.have].windows(2).position(|w| w == b"\r\n") {
                return Ok(from + at);
            }
            if self.have - from > 1024 {
                return Err(bad("a line between chunks doesn't end"));
            }
            self.more(self.have + 1)?;
        }
    }

    /// Reads until there is so much, and what comes with it.
    fn more(&mut self, have: usize) -> io::Result<()> {
        if have > MESSAGE_MAX + HEAD_MAX {
            return Err(bad("it is too large"));
        }
        while self.have < have {
            if self.swap(have.max(self.have + HEAD_MAX))? == 0 {
                return Err(bad("its body doesn't end"));
            }
        }
        Ok(())
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a request: {what}"))
}

/// A request of its head (RFC 9112 §2.1) and body, and how long the head says that the body is: None where it is chunked.
fn parse<'a>(head: &'a [u8], body: &'a [u8]) -> io::Result<(Request<'a>, Option<usize>)> {
    let text = std::str::from_utf8(head).map_err(|_| bad("its head isn't UTF-8"))?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or("").splitn(3, ' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if !words.next().unwrap_or("").starts_with("HTTP/1.") {
        return Err(bad("its first line"));
    }
    let (mut fields, mut size) = (Vec::new(), Some(0));
    for line in lines.take_while(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a field without a colon"))?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("transfer-encoding") {
            size = if value.eq_ignore_ascii_case("chunked") { None } else { return Err(bad("its transfer coding isn't chunked alone")) };
        }
        if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            size = Some(value.parse().ok().filter(|n| digits && *n <= MESSAGE_MAX).ok_or_else(|| bad("its length"))?);
        }
        fields.push((name, value));
    }
    Ok((Request { method, target, fields, body }, size))
}

/// Has `answer` answer requests until the input ends. An error is of the input or output, or says that a request can't be read.
pub fn serve(mut answer: impl FnMut(&Request, &mut Response)) -> io::Result<()> {
    let plain = exchange(&[], &mut [], &[]) < 0;
    let mut s = Stream { plain, input: vec![0; HEAD_MAX], have: 0, out: Vec::new() };
    loop {
        let (head, body, all) = match s.request() {
            Ok(Some(sizes)) => sizes,
            Ok(None) => return s.swap(0).map(|_| ()),
            Err(e) => {
                if e.kind() == io::ErrorKind::InvalidData {
                    s.out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    s.swap(0)?;
                }
                return Err(e);
            }
        };
        let (request, _) = parse(&s.input[..head], &s.input[head..body])?;
        let mut response = Response::new();
        answer(&request, &mut response);
        response.finish(request.method == "HEAD", &mut s.out);
        s.input.copy_within(all..s.have, 0);
        s.have -= all;
    }
}
