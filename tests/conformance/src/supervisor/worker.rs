//! The worker's side.

use super::wire::{Done, Message};
use crate::report::DeviceFacts;
use crate::run::Options;
use crate::suite;
use crate::target::Target;
use std::io::{self, BufRead, Write};

/// Opens the device and answers names with results until the input ends.
pub fn serve(
    open: impl FnOnce() -> Result<(Target, DeviceFacts), String>,
    options: Options,
    input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    let (target, facts) = match open() {
        Ok(opened) => opened,
        Err(why) => return say(&mut output, &Message::Refused(why)),
    };
    say(&mut output, &Message::Ready(Box::new(facts)))?;
    let items = suite::Index::default();
    for line in input.lines() {
        let id = line?;
        let result = match items.find(id.trim_end()) {
            Ok(item) => item.run(&target, options),
            Err(why) => crate::CaseResult::new(&id, "-", "-", crate::Outcome::NotRun).because(why),
        };
        say(&mut output, &Message::Done(Box::new(Done::pack(result))))?;
    }
    Ok(())
}

fn say(output: &mut impl Write, message: &Message) -> io::Result<()> {
    serde_json::to_writer(&mut *output, message)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Takes standard output for messages and sends everything else that is printed to standard error: what a vendor's library prints is no message.
#[cfg(unix)]
pub fn private_output() -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: both descriptors are this process's own and open; the new one is owned by the file alone.
    unsafe {
        let kept = libc::dup(1);
        if kept < 0 || libc::dup2(2, 1) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(std::fs::File::from_raw_fd(kept))
    }
}

/// Where descriptors cannot be moved, messages and prints share standard output.
#[cfg(not(unix))]
pub fn private_output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}
