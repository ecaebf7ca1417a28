//! asker asks for its target's text and adds what came; POST asks with its body.
use std::io::Write;

fn main() -> std::io::Result<()> {
    wherry::serve(|request, response| {
        for _ in 0..2 {
            let _ = match wherry::ask(request.method, &format!("http://edge{}", request.target), &[("X-From", "rust")], request.body) {
                Err(e) => writeln!(response, "{e}"),
                Ok(a) if a.body.len() > 100 => writeln!(response, "{} {} bytes", a.status, a.body.len()),
                Ok(a) => writeln!(response, "{} {}", a.status, String::from_utf8_lossy(&a.body)),
            };
        }
    })
}
