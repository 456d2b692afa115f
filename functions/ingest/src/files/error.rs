//! Why an object cannot be read. A row that cannot be read is not an error: it is emitted with its fault.

use std::fmt;
use std::io;

/// Why the reading of an object stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The object is not what it should be; reading it again will not help.
    #[error("{0}")]
    File(FileFault),
    /// The input failed; reading it again may help.
    #[error("{object} cannot be read")]
    Input { object: String, source: io::Error },
    /// The consumer of the frames returned an error.
    #[error(transparent)]
    Emit(E),
}

/// An object that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    pub object: String,
    /// What is wrong, and where (line, column or byte).
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.object, self.message, self.hint)
    }
}

impl std::error::Error for FileFault {}

/// A fault without the name of its object.
#[derive(Debug)]
pub(super) enum Fault {
    File { message: String, hint: &'static str },
    Input(io::Error),
}

impl Fault {
    pub(super) fn file(message: impl Into<String>, hint: &'static str) -> Self {
        Fault::File { message: message.into(), hint }
    }
}

/// A [`Fault`], or an error of the consumer of the frames.
#[derive(Debug)]
pub(super) enum Stop<E> {
    Fault(Fault),
    Emit(E),
}

impl<E> Stop<E> {
    pub(super) fn at(self, object: &str) -> ReadError<E> {
        match self {
            Stop::Fault(Fault::File { message, hint }) => {
                ReadError::File(FileFault { object: object.to_owned(), message, hint: hint.to_owned() })
            }
            Stop::Fault(Fault::Input(source)) => ReadError::Input { object: object.to_owned(), source },
            Stop::Emit(error) => ReadError::Emit(error),
        }
    }
}

impl<E> From<Fault> for Stop<E> {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl<E> From<io::Error> for Stop<E> {
    fn from(error: io::Error) -> Self {
        Stop::Fault(error.into())
    }
}

/// Bytes that cannot be decompressed. It is carried within an [`io::Error`] through the readers above the decoder, and is converted to a
/// [`Fault::File`] after them.
#[derive(Debug)]
pub(super) struct Corrupt {
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Corrupt {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Corrupt>() {
            Ok(Corrupt { message, hint }) => Fault::File { message, hint },
            Err(error) => Fault::Input(error),
        }
    }
}
