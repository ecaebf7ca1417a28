//! hello greets by Wherry's SDK: GET /?name=Ada.
//!
//!     rustc -O --crate-type rlib --crate-name wherry -o libwherry.rlib sdk/rust/src/lib.rs --edition 2021
//!     rustc -O -C target-feature=+crt-static --extern wherry=libwherry.rlib -o hello examples/programs/hello/rust/hello.rs --edition 2021

use std::io::Write;

fn main() -> std::io::Result<()> {
    wherry::serve(|request, response| {
        response.set("Content-Type", "text/plain");
        let done = if request.method == "POST" {
            wherry::log(&format!("a body of {} bytes", request.body.len()));
            writeln!(response, "{} bytes", request.body.len())
        } else {
            let name = request.target.split_once("?name=").map_or("", |(_, name)| name);
            writeln!(response, "hello, {name}")
        };
        if done.is_err() {
            response.status = 500;
        }
    })
}
