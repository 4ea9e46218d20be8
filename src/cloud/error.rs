//! What can go wrong between us and a cloud: the class decides what happens next, the rest is for people.

use std::fmt;

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// Nobody answers: names, networks, TLS, a connection that was cut.
    Unreachable,
    /// The answer did not come in time.
    TimedOut,
    /// The credential is not (or no longer) accepted: 401.
    Unauthorized,
    /// The credential may not do this: 403.
    Forbidden,
    /// There is no such thing: 404.
    NotFound,
    /// The state of the thing, or of what hangs on it, does not allow it: 409, and the 400 of services that mean it.
    Conflict,
    /// Too many requests: 429, 413.
    TooMany,
    /// The request is wrong: any other 4xx.
    Refused,
    /// The service failed: 5xx.
    Server,
    /// The answer is not what the API promises.
    Malformed,
    /// The catalog has no such service, region, interface or version.
    Catalog,
}

impl ErrorClass {
    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut | Self::TooMany | Self::Server | Self::Malformed => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::Refused
            | Self::Catalog => false,
        }
    }

    /// The class of a status that is no success.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            408 => Self::TimedOut,
            409 | 423 => Self::Conflict,
            413 | 429 => Self::TooMany,
            400..=499 => Self::Refused,
            500..=599 => Self::Server,
            _ => Self::Malformed,
        }
    }
}

/// A request that did not do what it should: what was asked of whom, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudError {
    /// What kind of trouble it is.
    pub class: ErrorClass,
    /// What was asked: `GET https://network.example.org/v2.0/ports`. Without a query, and never with a secret.
    pub asked: String,
    /// Why it failed, as far as the service says.
    pub why: String,
    /// What an operator of the cloud finds the request by.
    pub request_id: Option<String>,
}

impl CloudError {
    /// An error of a class, about a request.
    pub fn new(class: ErrorClass, asked: impl Into<String>, why: impl Into<String>) -> Self {
        Self { class, asked: asked.into(), why: why.into(), request_id: None }
    }

    /// What to do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.class {
            ErrorClass::Unreachable => {
                "check `auth_url`, the network and the proxies (HTTPS_PROXY, NO_PROXY); for a private CA, `cacert` in clouds.yaml"
            }
            ErrorClass::TimedOut => {
                "the cloud is slow or a connection hangs; try again, or raise `api_timeout` in clouds.yaml"
            }
            ErrorClass::Unauthorized => {
                "the credential is wrong, revoked or over; `openstack token issue` with the same cloud shows the same"
            }
            ErrorClass::Forbidden => "the credential lacks a role for this; ask the operator of the cloud",
            ErrorClass::NotFound => "it is gone, or the address in the catalog is wrong",
            ErrorClass::Conflict => "something else still uses it; try again later",
            ErrorClass::TooMany => "the cloud limits requests; try again later",
            ErrorClass::Refused => "this is a defect of stack-e2e, or the cloud lacks an extension",
            ErrorClass::Server => "the service is in trouble; its operator finds the request by its id",
            ErrorClass::Malformed => {
                "something between here and the service changes answers, or the service is broken"
            }
            ErrorClass::Catalog => {
                "`openstack catalog list` shows services and regions; `region_name` and `interface` choose"
            }
        }
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.why)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for CloudError {}
