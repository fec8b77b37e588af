//! The servers of entries: which one a record is of, and of which service.

use super::entry::Record;
use crate::abi::Method;

/// The servers of the tables.
pub trait Servers: Copy {
    /// Returns whether there may be more servers than 16 bits number, see [`Record`]. It never changes.
    fn has_long_indexes(self) -> bool;

    /// Index of the service that a server belongs to, as long as entries are of it;
    /// [`crate::abi::Marked::NO_SERVICE`]: there is no such server.
    fn service_of_server(self, server: u32) -> u32;

    /// Index of a record's server.
    #[inline(always)]
    fn server_of(self, record: &Record) -> u32 {
        record.server(self.has_long_indexes())
    }

    /// Index of the service that scheduled a connection.
    #[inline(always)]
    fn service_of(self, record: &Record) -> u32 {
        if self.has_long_indexes() {
            self.service_of_server(record.server(true))
        } else {
            u32::from(record.service)
        }
    }

    /// The record of a connection whose service is not persistent.
    #[inline(always)]
    fn new_record(self, server: u32, service: u32, method: Method) -> Record {
        Record::new(server, service, method, self.has_long_indexes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each service has ten servers.
    #[derive(Clone, Copy)]
    struct Tables {
        long: bool,
    }

    impl Servers for Tables {
        fn has_long_indexes(self) -> bool {
            self.long
        }

        fn service_of_server(self, server: u32) -> u32 {
            server / 10
        }
    }

    #[test]
    fn a_record_has_its_server_and_its_service_in_both_layouts() {
        for (long, server) in [
            (false, 0),
            (false, 65_535),
            (true, 7),
            (true, 65_535),
            (true, 65_536),
            (true, 262_143),
        ] {
            let tables = Tables { long };
            let record = tables.new_record(server, server / 10, Method::Nat);
            assert_eq!(tables.server_of(&record), server, "long: {long}");
            assert_eq!(tables.service_of(&record), server / 10, "long: {long}");
            assert_eq!(Method::from_raw(record.method), Method::Nat);
        }
    }

    #[test]
    fn servers_that_differ_in_the_upper_half_are_two() {
        let tables = Tables { long: true };
        let record = |server| tables.new_record(server, 1, Method::Direct);
        assert!(!record(3).has_server_of(&record(65_536 + 3)));
        assert!(record(65_539).has_server_of(&record(65_539)));
    }
}
