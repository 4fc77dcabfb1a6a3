//! Where finished recordings are: a folder or an S3-compatible store, each recording by its URL.
//!
//! Credentials, region and endpoint of S3 come from the environment alone, by the names that AWS' own tools use
//! (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` …).

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetResult, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use url::Url;

/// Larger recordings are sent in parts of this size, bytes: 5 MiB is the least that S3 takes.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// A place that cannot be used, or does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The URL is of another kind.
    #[error("neither a folder nor an s3:// URL")]
    Unknown,
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// The file on this side.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

/// The store that a URL is in, and the path there.
fn locate(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), ShelfError> {
    match url.scheme() {
        "file" => {
            let path = url.to_file_path().map_err(|()| ShelfError::Unknown)?;
            let path = Path::from_absolute_path(path).map_err(object_store::Error::from)?;
            Ok((Arc::new(LocalFileSystem::new().with_fsync(true)), path))
        }
        "s3" => {
            let store = AmazonS3Builder::from_env().with_url(url.as_str()).build()?;
            let path = Path::from_url_path(url.path()).map_err(object_store::Error::from)?;
            Ok((Arc::new(store), path))
        }
        _ => Err(ShelfError::Unknown),
    }
}

/// Makes sure that recordings can be put below `url`; whether the store answers is not asked.
pub fn check(url: &Url) -> Result<(), ShelfError> {
    locate(url).map(drop)
}

/// Puts the file under `url`; what is there already is replaced.
pub(super) async fn put(url: &Url, file: &FilePath) -> Result<(), ShelfError> {
    let (store, path) = locate(url)?;
    let mut from = tokio::fs::File::open(file).await?;
    let mut to = BufWriter::with_capacity(store, path, PART_BYTES);
    match tokio::io::copy(&mut from, &mut to).await {
        Ok(_) => Ok(to.shutdown().await?),
        Err(error) => {
            // Parts that were sent already cost storage until they are given up.
            let _ = to.abort().await;
            Err(error.into())
        }
    }
}

/// The recording at `url`; `None` if there is none.
pub async fn get(url: &Url) -> Result<Option<GetResult>, ShelfError> {
    let (store, path) = locate(url)?;
    match store.get(&path).await {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the recording at `url`, if there is one.
pub async fn remove(url: &Url) -> Result<(), ShelfError> {
    let (store, path) = locate(url)?;
    match store.delete(&path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
