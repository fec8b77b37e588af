//! Requests are read strictly, answers are not: a field that the reader does not know is a mistake in a request, which
//! would be carried out in another way than meant; in an answer, or in what was kept or sent by a peer, it comes from
//! a newer version.

use serde::de::DeserializeOwned;

/// Reads a value, of which every field has to be known.
///
/// # Errors
///
/// It is no such value, or has a field besides; the error names it.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut unknown = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_ignored::deserialize(&mut json, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    });
    let value = value.map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    match unknown {
        Some(field) => Err(format!("unknown field `{field}`")),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ServerSettings, ServiceSettings};
    use crate::protocol::{Edit, Edits, Services, Traffic};

    /// An answer of a daemon that has more to say than this client knows, everywhere.
    const NEWER: &str = r#"{
        "table_size": 4096, "newer": 1,
        "services": [{
            "id": {"address": {"protocol": "tcp", "address": "192.0.2.1:80"}},
            "settings": {
                "scheduler": "wlc", "persistence": {"timeout": 60, "prefix": 32, "newer": 1},
                "one_packet": false, "newer": {"x": []},
                "filter": {"deny": ["192.0.2.7"], "limits": {"open": 1, "newer": 2}, "newer": 1}
            },
            "newer": 1,
            "stats": TRAFFIC, "rates": TRAFFIC,
            "servers": []
        }]
    }"#;

    #[test]
    fn an_answer_of_a_newer_daemon_is_understood() {
        let traffic = serde_json::to_string(&Traffic::default()).unwrap();
        let newer = NEWER.replace("TRAFFIC", &traffic.replace('}', ", \"newer\": 1}"));
        let services: Services = serde_json::from_str(&newer).unwrap();
        assert_eq!(services.services[0].settings.scheduler, "wlc");
    }

    #[test]
    fn every_field_of_a_request_has_to_be_known() {
        let edit = r#"{"add-service": {"service": {"mark": {"mark": 1, "family": "ipv4"}},
                       "settings": {"scheduler": "rr", "persistence": null, "one_packet": false NEWER}}}"#;
        let right = edit.replace(" NEWER", "");
        from_str::<Edit>(&right).unwrap();
        let wrong = edit.replace("NEWER", ", \"ondwn\": 1");
        let error = from_str::<Edit>(&wrong).unwrap_err();
        assert!(
            error.contains("unknown field `") && error.contains("ondwn"),
            "{error}"
        );
        let filter = right.replace(
            "false}",
            r#"false, "filter": {"deny": [{"file": "/x", "typo": 1}]}}"#,
        );
        assert!(from_str::<Edit>(&filter).unwrap_err().contains("typo"));
        let many = format!("{{\"edits\": [{right}, {wrong}]}}");
        assert!(from_str::<Edits>(&many).unwrap_err().contains("edits.1"));
        assert!(from_str::<Edit>(&(right + "x")).is_err());
    }

    #[test]
    fn settings_of_a_newer_version_are_understood() {
        let settings: ServiceSettings = serde_json::from_str(
            r#"{"scheduler": "rr", "persistence": null, "one_packet": true, "newer": 1}"#,
        )
        .unwrap();
        assert!(settings.one_packet);
        let settings: ServerSettings = serde_json::from_str(
            r#"{"method": "nat", "weight": 3, "upper": 0, "lower": 0, "newer": 1}"#,
        )
        .unwrap();
        assert_eq!(settings.weight, 3);
    }
}
