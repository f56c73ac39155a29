//! A layer's decompressed octets, counted and hashed on the way.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use crate::digest::{Digest, Hasher};
use crate::oci::error::{Error, Result};
use crate::oci::limits::{Limits, MAX_ZSTD_WINDOW_LOG};
use crate::oci::media::Compression;
use crate::oci::refusal::{Limit, Refusal, shown};
use crate::oci::tar::{Streaming, TarReader};

/// Decompresses, and ends with a refusal where a limit is reached.
pub(crate) struct Decoder<R: BufRead> {
    inner: Inner<Tagged<R>>,
    hasher: Hasher,
    octets: u64,
    budget: u64,
    over: Refusal,
}

enum Inner<R: BufRead> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(zstd::Decoder<'static, R>),
}

/// The layer in an archive walk; `size` is that of the stored form.
pub(crate) fn open<R: BufRead>(
    stored: R,
    compression: Compression,
    size: u64,
    limits: &Limits,
) -> Result<TarReader<Streaming<Decoder<R>>>> {
    let decoder = Decoder::new(stored, compression, size, limits)?;
    Ok(TarReader::new(Streaming::new(decoder), limits.layer_entries))
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(stored: R, compression: Compression, size: u64, limits: &Limits) -> Result<Self> {
        let stored = Tagged(stored);
        let by_ratio = limits.by_ratio(size);
        let (budget, over) = if by_ratio < limits.layer {
            (by_ratio, Refusal::Limit { what: Limit::Ratio, limit: limits.ratio })
        } else {
            (limits.layer, Refusal::Limit { what: Limit::Layer, limit: limits.layer })
        };
        let inner = match compression {
            Compression::None => Inner::Plain(stored),
            Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(stored))),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(stored).map_err(broken)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(broken)?;
                Inner::Zstd(decoder)
            }
        };
        Ok(Self { inner, hasher: Hasher::new(), octets: 0, budget, over })
    }

    /// The digest of what was read, and how many octets that were.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.octets)
    }
}

impl<R: BufRead> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("octets", &self.octets)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::Plain(inner) => inner.read(buffer),
            Inner::Gzip(inner) => inner.read(buffer),
            Inner::Zstd(inner) => inner.read(buffer),
        };
        let read = match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            read => read.map_err(broken)?,
        };
        self.octets = self.octets.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if self.octets > self.budget {
            return Err(self.over.clone().into());
        }
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// An error of the decoder is a refusal of the content; an error of what is below it is not, and is marked by [`Tagged`].
fn broken(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(below) => below,
        Err(error) => Refusal::Compression { why: shown(&error.to_string()) }.into(),
    }
}

/// Marks errors of the reader below the decoder as such.
struct Tagged<R>(R);

impl<R> Tagged<R> {
    fn tag(error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => Error::io("reading a layer", error).into(),
        }
    }
}

impl<R: Read> Read for Tagged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(Self::tag)
    }
}

impl<R: BufRead> BufRead for Tagged<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf().map_err(Self::tag)
    }

    fn consume(&mut self, octets: usize) {
        self.0.consume(octets);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::oci::error::ErrorKind;
    use crate::oci::limits::RATIO_FLOOR;

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(stored: &[u8], compression: Compression, limits: &Limits) -> Result<(Digest, u64)> {
        let size = stored.len() as u64;
        let mut decoder = Decoder::new(stored, compression, size, limits)?;
        io::copy(&mut decoder, &mut io::sink()).map_err(|error| Error::io("decoding", error))?;
        Ok(decoder.finish())
    }

    #[test]
    fn every_compression_gives_the_same() {
        let octets = b"layer".repeat(1000);
        let expected = (Digest::of(&octets), 5000);
        let zstd = zstd::encode_all(&octets[..], 3).unwrap();
        for (stored, compression) in [
            (octets.clone(), Compression::None),
            (gzip(&octets), Compression::Gzip),
            // Some programs compress in pieces, so that files can be fetched alone.
            ([gzip(&octets[..2000]), gzip(&octets[2000..])].concat(), Compression::Gzip),
            (zstd, Compression::Zstd),
        ] {
            assert_eq!(decode(&stored, compression, &Limits::default()).unwrap(), expected);
        }
    }

    #[test]
    fn damage_is_refused() {
        let octets = b"layer".repeat(1000);
        let mut flipped = gzip(&octets);
        let last = flipped.len() - 5;
        flipped[last] ^= 1;
        let zstd = zstd::encode_all(&octets[..], 3).unwrap();
        for (stored, compression) in [
            (&flipped[..], Compression::Gzip),
            (&gzip(&octets)[..20], Compression::Gzip),
            (&zstd[..zstd.len() - 3], Compression::Zstd),
            (&zstd, Compression::Gzip),
            (&gzip(&octets), Compression::Zstd),
        ] {
            let error = decode(stored, compression, &Limits::default()).unwrap_err();
            assert!(matches!(error.refusal(), Some(Refusal::Compression { .. })), "{error:?}");
        }
    }

    #[test]
    fn bombs_end_at_their_limits() {
        let floor = usize::try_from(RATIO_FLOOR).unwrap();
        let bomb = zstd::encode_all(io::repeat(0).take(RATIO_FLOOR + 1), 3).unwrap();
        let fits = zstd::encode_all(io::repeat(0).take(RATIO_FLOOR), 3).unwrap();
        let limits = Limits { ratio: 2, ..Limits::default() };
        let refused = decode(&bomb, Compression::Zstd, &limits).unwrap_err();
        assert_eq!(refused.refusal(), Some(&Refusal::Limit { what: Limit::Ratio, limit: 2 }));
        assert_eq!(decode(&fits, Compression::Zstd, &limits).unwrap().1, RATIO_FLOOR);

        let limits = Limits { layer: 1000, ..Limits::default() };
        let refused = decode(&gzip(&vec![0; floor]), Compression::Gzip, &limits).unwrap_err();
        assert_eq!(refused.refusal(), Some(&Refusal::Limit { what: Limit::Layer, limit: 1000 }));
        assert!(decode(&[7; 1000], Compression::None, &limits).is_ok());
        assert!(decode(&[7; 1001], Compression::None, &limits).is_err());
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        let frame = |log: u32| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.write_all(b"short").unwrap();
            encoder.finish().unwrap()
        };
        assert!(decode(&frame(MAX_ZSTD_WINDOW_LOG), Compression::Zstd, &Limits::default()).is_ok());
        let refused = decode(&frame(MAX_ZSTD_WINDOW_LOG + 1), Compression::Zstd, &Limits::default());
        assert!(matches!(refused.unwrap_err().refusal(), Some(Refusal::Compression { .. })));
    }

    #[test]
    fn a_failing_disk_is_not_the_content_s_fault() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let stored = io::BufReader::new(Failing);
        let mut decoder = Decoder::new(stored, Compression::Gzip, 100, &Limits::default()).unwrap();
        let error = Error::io("decoding", decoder.read(&mut [0; 10]).unwrap_err());
        assert_eq!(error.kind(), &ErrorKind::Io(io::ErrorKind::StorageFull));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(mut octets in prop::collection::vec(any::<u8>(), 0..500), form in 0..3) {
            let (compression, magic): (_, &[u8]) = match form {
                0 => (Compression::Gzip, &[0x1f, 0x8b, 8, 0]),
                1 => (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
                _ => (Compression::None, &[]),
            };
            octets.splice(..0, magic.iter().copied());
            drop(decode(&octets, compression, &Limits::default()));
        }
    }
}
