//! Places in buckets, by their `s3://bucket/prefix`.

use tidemark_flow::{Failure, Place};
use tidemark_lake::{Meter, Store};
use tokio::runtime::Handle;

/// Opens places in buckets. The client behind them is built when the first is asked for.
#[derive(Debug)]
pub struct Buckets {
    handle: Handle,
    meter: Meter,
}

impl Buckets {
    /// With the credentials, region and endpoint this user has set up for AWS: environment, profile, single sign-on.
    pub fn new(_: aws_types::SdkConfig, handle: Handle, meter: &Meter) -> Buckets {
        Buckets { handle, meter: meter.clone() }
    }
    pub fn of_this_user(handle: Handle, meter: &Meter) -> Buckets {
        Buckets { handle, meter: meter.clone() }
    }

    /// The place as a store of its own, whose root is the prefix.
    pub fn folder(&self, place: &str) -> Result<Store, Failure> {
        todo!()
    }

    /// What a source's path names: an object, or everything below a prefix.
    pub fn locate(&self, path: &str) -> Result<Place, Failure> {
        todo!()
    }
}
