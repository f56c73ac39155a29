//! What lists tell of many images at once: a few statements, however many images there are.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ids::ImageId;
use crate::images::{Images, MAX_PAGE};
use crate::store;

/// What stands beside an image in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Overview {
    /// The names that point at it, in order.
    pub names: Vec<String>,
    /// How many leases it has.
    pub leases: u64,
    /// Its blobs that are missing or wrong.
    pub damaged: Vec<Digest>,
}

impl Images {
    /// Names, leases and damage of images, at most [`MAX_PAGE`] at once; of one without any, or that is gone, nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for more images; of the database.
    pub async fn overview(&self, images: &[ImageId]) -> Result<BTreeMap<ImageId, Overview>> {
        if images.len() > MAX_PAGE as usize {
            return Err(Error::invalid(
                "images",
                format!("{} images are more than {MAX_PAGE}", images.len()),
            ));
        }
        let ids: Vec<i64> = images.iter().map(|image| image.get()).collect();
        let mut seen: BTreeMap<ImageId, Overview> = BTreeMap::new();
        for row in &self.repo().read(store::refs::of_images(&ids)).await? {
            seen.entry(ImageId(row.get("image_id")?)).or_default().names.push(row.get("name")?);
        }
        for row in &self.repo().read(store::uses::leased(&ids)).await? {
            seen.entry(ImageId(row.get("image_id")?)).or_default().leases = row.get("leases")?;
        }
        for row in &self.repo().read(store::uses::damaged(&ids)).await? {
            let damaged = store::blobs::read_digest(row)?;
            seen.entry(ImageId(row.get("image_id")?)).or_default().damaged.push(damaged);
        }
        Ok(seen)
    }

    /// How many images use each layer of one, that one among them; counted up to `most`.
    ///
    /// # Errors
    /// Of the database.
    pub async fn layer_users(&self, image: ImageId, most: u32) -> Result<BTreeMap<Digest, u64>> {
        let found = self.repo().read(store::uses::layer_users(image.get(), most)).await?;
        found.iter().map(|row| Ok((store::blobs::read_digest(row)?, row.get("users")?))).collect()
    }

    /// How many images there are, counted up to `most`: for what is done only of so many.
    ///
    /// # Errors
    /// Of the database.
    pub async fn image_count(&self, most: u32) -> Result<u64> {
        let found = self.repo().read(store::uses::count(most)).await?;
        Ok(found.first().map_or(Ok(0), |row| row.get("images"))?)
    }
}
