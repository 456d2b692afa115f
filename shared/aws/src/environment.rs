//! A function's access to everything outside the lake: buckets, folders of its own disk, and secrets in Secrets Manager.

use tidemark_flow::{Error, Folders, Place, Secret, Secrets, Sources, host, is_bucket};
use tidemark_lake::{Meter, Store};
use tidemark_pipeline::SecretName;
use tokio::runtime::Handle;

use crate::buckets::Buckets;
use crate::secrets;

/// The environment of a function.
pub(crate) struct FunctionEnvironment<'a> {
    pub buckets: &'a Buckets,
    pub handle: &'a Handle,
    pub meter: &'a Meter,
}

impl Sources for FunctionEnvironment<'_> {
    fn locate(&self, path: &str) -> Result<Place, Error> {
        match is_bucket(path) {
            true => self.buckets.locate(path),
            false => host::locate(path, self.handle, self.meter),
        }
    }
}

impl Folders for FunctionEnvironment<'_> {
    fn folder(&self, path: &str) -> Result<Store, Error> {
        match is_bucket(path) {
            true => self.buckets.folder(path),
            false => host::folder(path, self.handle, self.meter),
        }
    }
}

impl Secrets for FunctionEnvironment<'_> {
    fn secret(&self, name: &SecretName) -> Result<Secret, Error> {
        match host::secret(name) {
            Some(secret) => Ok(secret),
            None => secrets::secret(&self.buckets.account()?, self.handle, name),
        }
    }
}
