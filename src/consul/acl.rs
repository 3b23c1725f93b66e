//! `/v1/acl/`: whether access is controlled at all.

use super::client::Client;
use super::error::Error;
use super::request::Request;

/// Access control.
#[derive(Clone, Copy, Debug)]
pub struct Acl<'a>(pub(super) &'a Client);

impl Acl<'_> {
    /// Whether ACLs are on, so that what a token does not see may exist all the same.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn is_enabled(&self) -> Result<bool, Error> {
        match self.0.send(&Request::get(&["acl", "token", "self"])) {
            Ok(_) => Ok(true),
            // Consul's words where ACLs are off, with status 401.
            Err(error) if error.body().is_some_and(|body| body.contains("ACL support disabled")) => Ok(false),
            Err(error) if error.status().is_some() => Ok(true),
            Err(error) => Err(error),
        }
    }
}
