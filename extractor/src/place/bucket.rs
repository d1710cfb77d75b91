//! Objects of a bucket, below a prefix. An object appears whole or not at all, whoever writes it.

use std::io::{self, Read, Seek as _};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload,
};
use tokio::runtime::Runtime;

use super::{Entry, Files, Held, PlaceError, Staged, is_hidden};

/// Threads that wait for stores.
const THREADS: usize = 2;
/// Longest object that is written by one request; longer ones are written in pieces of this length, of which S3 takes
/// 10,000 of 5 MiB or more.
const PIECE: u64 = 32 << 20;

/// A bucket's objects below a prefix.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Scheme and bucket.
    base: String,
    store: Arc<dyn ObjectStore>,
    prefix: Key,
}

impl Bucket {
    pub(super) fn new(base: String, store: Arc<dyn ObjectStore>, prefix: Key) -> Self {
        Self {
            base,
            store,
            prefix,
        }
    }

    /// A name as it stands; where no object may be called that, as the client library would write it.
    fn key(&self, name: &str) -> Key {
        let whole = format!("{}/{name}", self.prefix);
        Key::parse(whole.trim_matches('/')).unwrap_or_else(|_| {
            let parts = name.split('/').filter(|part| !part.is_empty());
            parts.fold(self.prefix.clone(), Key::join)
        })
    }

    fn failed(&self, name: &str) -> impl FnOnce(object_store::Error) -> PlaceError + use<> {
        PlaceError::store(self.address(name))
    }

    /// Why there is no list. Of a list's failure the client does not say what kind it is; of an object's it does.
    fn unlisted(&self, folder: &str, source: object_store::Error) -> PlaceError {
        use object_store::Error;
        let probed = runtime().block_on(self.store.head(&self.key(folder).join("part")));
        match probed {
            Err(refused @ (Error::Unauthenticated { .. } | Error::PermissionDenied { .. })) => {
                self.failed(folder)(refused)
            }
            Ok(_) | Err(_) => self.failed(folder)(source),
        }
    }

    async fn write(&self, key: &Key, file: &mut std::fs::File) -> object_store::Result<()> {
        let generic = |source: io::Error| object_store::Error::Generic {
            store: "local disk",
            source: Box::new(source),
        };
        let length = file.metadata().map_err(generic)?.len();
        file.rewind().map_err(generic)?;
        if length <= PIECE {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(generic)?;
            return self.store.put(key, bytes.into()).await.map(drop);
        }
        let mut upload = self.store.put_multipart(key).await?;
        let written = write_pieces(upload.as_mut(), file).await;
        if written.is_err() {
            // What cannot be taken back now, the bucket's own rules for unfinished uploads take.
            let _ = upload.abort().await;
        }
        written
    }
}

async fn write_pieces(
    upload: &mut dyn MultipartUpload,
    file: &mut std::fs::File,
) -> object_store::Result<()> {
    loop {
        let mut piece = Vec::new();
        let read = file.by_ref().take(PIECE).read_to_end(&mut piece);
        read.map_err(|source| object_store::Error::Generic {
            store: "local disk",
            source: Box::new(source),
        })?;
        if piece.is_empty() {
            return upload.complete().await.map(drop);
        }
        upload.put_part(PutPayload::from(piece)).await?;
    }
}

/// Where stores are waited for.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).enable_all().build();
        runtime.expect("the system has threads and sockets")
    })
}

impl Files for Bucket {
    fn address(&self, name: &str) -> String {
        format!("{}/{}", self.base, self.key(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, PlaceError> {
        let below = self.key(folder);
        let listed = self.store.list(Some(&below)).try_collect::<Vec<_>>();
        let listed = runtime().block_on(listed);
        let mut found = Vec::new();
        for object in listed.map_err(|source| self.unlisted(folder, source))? {
            let parts = object.location.prefix_match(&self.prefix);
            let Some(parts) = parts else { continue };
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            let name = parts.join("/");
            let within = name.strip_prefix(folder).unwrap_or(&name);
            if !is_hidden(within.trim_start_matches('/')) {
                let bytes = object.size;
                found.push(Entry { name, bytes });
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, PlaceError> {
        let key = self.key(name);
        match runtime().block_on(self.store.head(&key)) {
            Ok(head) => Ok(Some(head.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name)(error)),
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Bytes, PlaceError> {
        let key = self.key(name);
        let read = async {
            let mut stream = self.store.get(&key).await?.into_stream();
            let mut bytes = BytesMut::new();
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece?);
                if bytes.len() as u64 > limit {
                    break;
                }
            }
            Ok(bytes.freeze())
        };
        runtime().block_on(read).map_err(self.failed(name))
    }

    fn range(&self, name: &str, range: Range<u64>) -> Result<Bytes, PlaceError> {
        let key = self.key(name);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&key, options).await?.bytes().await };
        runtime().block_on(read).map_err(self.failed(name))
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, PlaceError> {
        let key = self.key(name);
        let got = runtime().block_on(self.store.get(&key));
        let stream = got.map_err(self.failed(name))?.into_stream();
        Ok(Box::new(Stream {
            stream,
            piece: Bytes::new(),
        }))
    }

    fn stage(&self, name: &str) -> Result<Staged, PlaceError> {
        let file = tempfile::tempfile();
        let address = std::env::temp_dir().display().to_string();
        Ok(Staged {
            name: name.to_owned(),
            file: file.map_err(PlaceError::io(address))?,
            held: Held::Nameless,
        })
    }

    fn publish(&self, mut staged: Staged) -> Result<(), PlaceError> {
        let key = self.key(&staged.name);
        let written = runtime().block_on(self.write(&key, &mut staged.file));
        written.map_err(self.failed(&staged.name))
    }

    /// Begins an object of several pieces and takes it back.
    fn writable(&self) -> Result<(), PlaceError> {
        let key = self.key("part");
        let probe = async { self.store.put_multipart(&key).await?.abort().await };
        runtime().block_on(probe).map_err(self.failed(""))
    }
}

/// An object, piece by piece.
struct Stream {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match runtime().block_on(self.stream.next()) {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
