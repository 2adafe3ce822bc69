//! What the commands write to standard output and standard error.
//!
//! The standard library's `print!` panics if standard output cannot be written, which Rust programs
//! notice as soon as `head` reads their output: the runtime ignores SIGPIPE, so that a closed pipe
//! is an error (EPIPE) instead of a signal. As in ripgrep, a reader that has closed the pipe has
//! read enough: the rest of the output is discarded without a message, and the exit code is that of
//! the command's result, the same as if everything had been read. (coreutils write no message
//! either, but die of the signal, which would hide the result of `check` and `doctor`.) Every other
//! error, such as a full disk, is reported on standard error with exit code 1, because the output
//! is incomplete although the reader wants all of it.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Exit code of a command whose output could not be written.
const CANNOT_WRITE: u8 = 1;

/// Whether the output was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Written,
    /// The reader has closed the pipe.
    Unread,
}

/// Writes the output of a command and returns its exit code: `code`, or 1 if the output cannot be
/// written.
pub fn finish(text: impl Display, code: ExitCode) -> ExitCode {
    match write(text) {
        Ok(Output::Written | Output::Unread) => code,
        Err(failed) => failed,
    }
}

/// Writes `text` to standard output and flushes it.
///
/// # Errors
/// Returns the exit code if the output cannot be written for another reason than a closed pipe. The
/// error is already reported.
pub fn write(text: impl Display) -> Result<Output, ExitCode> {
    check(write_to(&mut io::stdout().lock(), text))
}

fn check(written: io::Result<()>) -> Result<Output, ExitCode> {
    match written {
        Ok(()) => Ok(Output::Written),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Output::Unread),
        Err(error) => {
            let error = format_args!("the output cannot be written: {error}");
            Err(fail(error, CANNOT_WRITE))
        }
    }
}

/// Prints the help, the version, or what is wrong with the arguments, and returns the exit code.
/// clap's own `exit` ignores an error of standard output.
pub fn usage(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(CANNOT_WRITE);
    if error.use_stderr() {
        // As in `report`.
        _ = error.print();
        return ExitCode::from(code);
    }
    match check(error.print().and_then(|()| io::stdout().flush())) {
        Ok(Output::Written | Output::Unread) => ExitCode::from(code),
        Err(failed) => failed,
    }
}

/// Reports `error` on standard error and returns the exit code `code`.
pub fn fail(error: impl Display, code: u8) -> ExitCode {
    report(format_args!("ndes-proxy: {error}\n"));
    ExitCode::from(code)
}

/// Writes `text` to standard error. An error of that cannot be reported anywhere, and the exit code
/// is still that of the result.
pub fn report(text: impl Display) {
    _ = write_to(&mut io::stderr().lock(), text);
}

fn write_to(output: &mut impl Write, text: impl Display) -> io::Result<()> {
    write!(output, "{text}")?;
    output.flush()
}
