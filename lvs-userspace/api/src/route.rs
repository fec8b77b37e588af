//! The routes of the control API. Client and server take methods and paths from this table.
//!
//! A request without an answer is answered by 204. A refused request is answered by an error status with a
//! [`Problem`](crate::problem::Problem), which is a [`Refusal`](crate::protocol::Refusal), too.

use hyper::Method;

macro_rules! routes {
    ($($(#[$doc:meta])* $route:ident: $method:ident $path:literal,)+) => {
        /// A route of the control API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Route {
            $($(#[$doc])* $route,)+
        }

        impl Route {
            /// Every route.
            pub const ALL: &[Self] = &[$(Self::$route,)+];

            /// Method of its requests.
            pub const fn method(self) -> Method {
                match self {
                    $(Self::$route => Method::$method,)+
                }
            }

            /// Path of its requests.
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$route => $path,)+
                }
            }

            /// The route of requests with this method and path.
            pub fn find(method: &Method, path: &str) -> Option<Self> {
                let mut all = Self::ALL.iter().copied();
                all.find(|route| route.path() == path && route.method() == *method)
            }

            /// True if its requests read only, whatever their method: some have a body that says what is read. A trace shows
            /// what users send: who asked for one is worth a line of the log.
            pub fn reads(self) -> bool {
                matches!(self, Self::Why) || self.method() == Method::GET
            }
        }
    };
}

routes! {
    /// Makes one change. Body: [`Edit`](crate::protocol::Edit).
    Edit: POST "/v1/edits",
    /// Makes many changes, in their order. Body: [`Edits`](crate::protocol::Edits); answer:
    /// [`Refused`](crate::protocol::Refused).
    EditMany: POST "/v1/edits/many",
    /// Reads the files of all filters again; refused with what is wrong with them.
    ReloadFilters: POST "/v1/filters/reload",
    /// Answer: [`Services`](crate::protocol::Services).
    Services: GET "/v1/services",
    /// Answer: a [`Connection`](crate::protocol::Connection) a line (newline-delimited JSON), in the tables' order.
    Connections: GET "/v1/connections",
    /// Ends connections. Body: [`DropConnections`](crate::connections::DropConnections); answer:
    /// [`Dropped`](crate::connections::Dropped).
    DropConnections: POST "/v1/connections/drop",
    /// The way that a client's packet would take; nothing is changed. Body: [`Why`](crate::why::Why); answer:
    /// [`Way`](crate::why::Way).
    Why: POST "/v1/why",
    /// Traces packets. Body: [`Trace`](crate::trace::Trace); answer: a [`TraceLine`](crate::trace::TraceLine) a line
    /// (newline-delimited JSON), as they are handled.
    Trace: POST "/v1/trace",
    /// Answer: [`Timeouts`](crate::timeouts::Timeouts).
    Timeouts: GET "/v1/timeouts",
    /// Answer: list of [`VerdictCount`](crate::protocol::VerdictCount).
    Verdicts: GET "/v1/verdicts",
    /// Answer: list of [`MarkRule`](crate::mark::MarkRule).
    Marks: GET "/v1/marks",
    /// Answer: [`TotalTraffic`](crate::protocol::TotalTraffic).
    TotalTraffic: GET "/v1/traffic",
    /// Answer: list of [`SysctlValue`](crate::sysctl::SysctlValue).
    Sysctls: GET "/v1/sysctls",
    /// Answer: [`Status`](crate::protocol::Status).
    Status: GET "/v1/status",
    /// Reads the configuration again; answered when it is in effect, or refused with its errors.
    Reload: POST "/v1/reload",
    /// Sets an operator's override. Body: [`Override`](crate::health::Override).
    Override: POST "/v1/orders",
    /// Has a real server checked that is not in the file, or removes one. Body:
    /// [`ServerByHand`](crate::health::ServerByHand); answered when it is in effect.
    ServerByHand: POST "/v1/servers",
    /// Answer: [`Health`](crate::health::Health).
    Health: GET "/v1/health",
    /// Answer: an [`Event`](crate::health::Event) a line (newline-delimited JSON), as they happen.
    Events: GET "/v1/events",
    /// Answer: [`SyncStatus`](crate::sync::SyncStatus).
    SyncStatus: GET "/v1/sync",
    /// Starts or stops a daemon of IPVS's protocol. Body: [`SyncCommand`](crate::sync::SyncCommand).
    SyncCommand: POST "/v1/sync",
    /// Answer: [`PeersStatus`](crate::peers::PeersStatus).
    Peers: GET "/v1/peers",
    /// Answer: [`RoleStatus`](crate::role::RoleStatus).
    Role: GET "/v1/role",
    /// Changes the role; answered when it is done. Body: [`Role`](crate::role::Role).
    SetRole: PUT "/v1/role",
    /// Hands the role over to the peer; answered when it is done. Body: [`Handover`](crate::role::Handover).
    HandOver: POST "/v1/handover",
    /// Gives the virtual addresses up, to a peer if one is there: the daemon is about to be stopped. Answer:
    /// [`SteppedDown`](crate::role::SteppedDown).
    StepDown: POST "/v1/role/step-down",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_found_by_method_and_path() {
        for route in Route::ALL {
            assert_eq!(Route::find(&route.method(), route.path()), Some(*route));
        }
        assert_eq!(Route::find(&Method::POST, Route::Status.path()), None);
        assert!(Route::Why.reads() && Route::Role.reads());
        assert!(!Route::SetRole.reads() && !Route::Edit.reads() && !Route::Trace.reads());
    }
}
