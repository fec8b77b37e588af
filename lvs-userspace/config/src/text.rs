//! Files of configuration, as text.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Device number of `/dev/null`, which is read as an empty file.
const NULL: u64 = libc::makedev(1, 3);

/// Byte order marks of UTF-16.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Reads a file. Of what is no regular file, a FIFO say, reading might never end: it is an error at once.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Without it, opening a FIFO waits for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    let empty = kind.is_char_device() && metadata.rdev() == NULL;
    if !kind.is_file() && !empty {
        let kind = if kind.is_fifo() {
            "a FIFO"
        } else if kind.is_dir() {
            "a folder"
        } else {
            "a device or socket"
        };
        let message = format!("it is {kind}, not a regular file");
        return Err(io::Error::other(message));
    }
    let bytes = unchanged(&file, &metadata, || {
        let mut bytes = Vec::new();
        (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    })?;
    if bytes.len() as u64 > LARGEST {
        let message = format!("it has more than {LARGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The text of a file, unless the file is written meanwhile: half of a list of prefixes is a list, too.
fn unchanged(
    file: &File,
    before: &Metadata,
    read: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let state = |metadata: &Metadata| {
        let (written, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        (metadata.len(), written, nanos)
    };
    let bytes = read()?;
    if state(&file.metadata()?) == state(before) {
        return Ok(bytes);
    }
    let message =
        "it was written while it was read: try again, or write another file and rename it";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Reads a file as text, whose lines end in line feeds. Comments of old files may be in any encoding.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = bytes(path)?;
    if UTF_16.iter().any(|mark| bytes.starts_with(mark)) {
        let message = "its text is UTF-16: save it as UTF-8";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(with_line_feeds(
        String::from_utf8_lossy(&bytes).into_owned(),
    ))
}

/// The text with line feeds, if its lines end in carriage returns alone, as some editors write them.
pub fn with_line_feeds(text: String) -> String {
    if text.contains('\n') {
        text
    } else {
        text.replace('\r', "\n")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_may_end_in_carriage_returns_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("www.cf");
        for (written, text) in [
            ("a\rb\r", "a\nb\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\n", "a\rb\n"),
            ("", ""),
        ] {
            fs::write(&path, written).unwrap();
            assert_eq!(read(&path).unwrap(), text, "{written:?}");
        }
    }

    #[test]
    fn utf_16_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("www.cf");
        for bytes in [b"\xff\xfev\0", b"\xfe\xff\0v"] {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("save it as UTF-8"), "{error}");
        }
    }

    #[test]
    fn what_is_written_while_it_is_read_is_not_taken() {
        use std::io::Write as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prefixes");
        fs::write(&path, "192.0.2.0/24\n198.51.100.0/24\n").unwrap();
        let file = File::open(&path).unwrap();
        let before = file.metadata().unwrap();
        let read = || Ok(b"192.0.2.0/24\n".to_vec());
        assert!(unchanged(&file, &before, read).is_ok());
        let error = unchanged(&file, &before, || {
            let mut writer = OpenOptions::new().append(true).open(&path)?;
            writer.write_all(b"203.0.113.0/24\n")?;
            read()
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("written while it was read"), "{error}");
        assert_eq!(bytes(&path).unwrap().len(), 44);
    }

    #[test]
    fn what_might_never_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for (path, reason) in [
            (fifo.as_path(), "it is a FIFO, not a regular file"),
            (folder.path(), "it is a folder, not a regular file"),
            (
                Path::new("/dev/zero"),
                "it is a device or socket, not a regular file",
            ),
        ] {
            assert_eq!(bytes(path).unwrap_err().to_string(), reason);
        }
        assert!(bytes(Path::new("/dev/null")).unwrap().is_empty());
    }
}
