//! Opens places in buckets by their URL, `s3://bucket/prefix`.

use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;
use object_store::{GetOptions, ObjectStore};
use tidemark_flow::{Error, Place};
use tidemark_lake::{Meter, Store};
use tokio::runtime::Handle;

use crate::bucket::Bucket;
use crate::client::{Account, RetryPolicy};
use crate::location::Location;

/// Opens places in buckets. All share one client, which is built on first use.
#[derive(Debug)]
pub struct Buckets {
    handle: Handle,
    meter: Meter,
    /// Builds the account on first use.
    account: fn(&Handle) -> Result<Account, Error>,
    client: Mutex<Option<Client>>,
}

#[derive(Debug, Clone)]
struct Client {
    account: Account,
    s3: aws_sdk_s3::Client,
}

impl Buckets {
    /// Uses the credentials, region and endpoint that this user has configured for AWS: environment, profile, single sign-on.
    pub fn for_current_user(handle: Handle, meter: &Meter) -> Buckets {
        let account = |handle: &Handle| handle.block_on(Account::for_current_user());
        Buckets { handle, meter: meter.clone(), account, client: Mutex::new(None) }
    }

    /// Uses only the environment variables `AWS_*`.
    pub fn from_variables(handle: Handle, meter: &Meter) -> Buckets {
        let account = |_: &Handle| Account::from_variables(|name| std::env::var(name).ok(), RetryPolicy::default());
        Buckets { handle, meter: meter.clone(), account, client: Mutex::new(None) }
    }

    pub fn new(account: &Account, handle: Handle, meter: &Meter) -> Buckets {
        let client = Client { account: account.clone(), s3: account.s3(meter) };
        Buckets { client: Mutex::new(Some(client)), ..Buckets::from_variables(handle, meter) }
    }

    /// The account, for clients of other services. Builds the client if there is none yet.
    ///
    /// # Errors
    /// Kind `definition` if region or credentials are not set.
    pub fn account(&self) -> Result<Account, Error> {
        Ok(self.client()?.account)
    }

    fn client(&self) -> Result<Client, Error> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let account = (self.account)(&self.handle)?;
        let s3 = account.s3(&self.meter);
        Ok(client.insert(Client { account, s3 }).clone())
    }

    fn bucket(&self, location: &Location) -> Result<Bucket, Error> {
        let Client { account, s3 } = self.client()?;
        Ok(Bucket::new(s3, &account, location, self.handle.clone()))
    }

    fn store(&self, location: &Location) -> Result<Store, Error> {
        let bucket = Arc::new(self.bucket(location)?);
        Ok(Store::remote(bucket, &location.place(), self.handle.clone(), &self.meter))
    }

    /// The place with the full object store interface, for callers that need more than a lake does.
    pub fn objects(&self, place: &str) -> Result<Arc<dyn ObjectStore>, Error> {
        Ok(Arc::new(self.bucket(&Location::parse(place)?)?))
    }

    /// The place as a store whose root is the prefix.
    ///
    /// # Errors
    /// The text is not a place in a bucket. Whether the bucket exists shows only with the first request.
    pub fn folder(&self, place: &str) -> Result<Store, Error> {
        self.store(&Location::parse(place)?)
    }

    /// Resolves the path of a source: an object, or everything below a prefix.
    ///
    /// # Errors
    /// The text is not a place in a bucket, or the request that checks for an object fails.
    pub fn locate(&self, path: &str) -> Result<Place, Error> {
        let location = Location::parse(path)?;
        let split = if location.is_folder { None } else { location.split() };
        let Some((folder, name)) = split else { return Ok(Place::Folder(self.store(&location)?)) };
        let bucket = self.bucket(&Location { prefix: Path::default(), ..location.clone() })?;
        let head = GetOptions { head: true, ..GetOptions::default() };
        match self.handle.block_on(bucket.get_opts(&location.prefix, head)) {
            Ok(_) => Ok(Place::File { folder: self.store(&folder)?, name }),
            Err(object_store::Error::NotFound { .. }) => Ok(Place::Folder(self.store(&location)?)),
            Err(error) => Err(Error::from_store(format!("source {path} cannot be opened"), error)),
        }
    }
}
