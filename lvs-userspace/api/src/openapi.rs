//! The description of the control API, from its routes and types, and its comparison with the file that is served.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::connections::{DropConnections, Dropped, Prefix, StateName};
use crate::filter::{PrefixFile, Source};
use crate::health::{Event, Health, Override, ServerByHand};
use crate::mark::{MarkRule, Network};
use crate::peers::PeersStatus;
use crate::problem::Problem;
use crate::protocol::{
    Connection, Edit, Edits, Refused, Services, Status, TotalTraffic, VerdictCount,
};
use crate::role::{Handover, RoleChange, RoleStatus, SteppedDown};
use crate::route::Route;
use crate::snat::Snat;
use crate::sync::{SyncCommand, SyncStatus};
use crate::sysctl::SysctlValue;
use crate::timeouts::Timeouts;
use crate::trace::{Trace, TraceLine};
use crate::virtual_address::VirtualAddress;
use crate::why::{Way, Why};

impl PartialSchema for Source {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let file = Ref::from_schema_name(PrefixFile::name());
        OneOfBuilder::new().item(text).item(file).into()
    }
}

impl ToSchema for Source {
    fn name() -> Cow<'static, str> {
        "Source".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((PrefixFile::name().into_owned(), PrefixFile::schema()));
        PrefixFile::schemas(schemas);
    }
}

/// Types that are a text in JSON.
macro_rules! texts {
    ($($name:ty,)+) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new().schema_type(Type::String).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )+
    };
}

texts! { Network, Prefix, Snat, StateName, VirtualAddress, }

/// The answer to a request that succeeds.
enum Answer {
    None,
    Json(RefOr<Schema>),
    /// A JSON text a line.
    Lines(RefOr<Schema>),
}

#[derive(Default)]
struct Components(BTreeMap<String, RefOr<Schema>>);

impl Components {
    /// A reference to a type, which is described with all that it holds.
    fn add<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut held = Vec::new();
        T::schemas(&mut held);
        self.0.extend(held);
        let name = T::name().into_owned();
        self.0.insert(name.clone(), T::schema());
        Ref::from_schema_name(name).into()
    }

    fn list<T: ToSchema>(&mut self) -> RefOr<Schema> {
        ArrayBuilder::new().items(self.add::<T>()).into()
    }

    /// A route's summary, the schema of its request's body, and its answer.
    #[expect(clippy::too_many_lines, reason = "a few for each route")]
    fn operation(&mut self, route: Route) -> (&'static str, Option<RefOr<Schema>>, Answer) {
        use Answer::{Json, Lines, None as Nothing};
        match route {
            Route::Edit => ("Makes one change", Some(self.add::<Edit>()), Nothing),
            Route::EditMany => {
                let body = self.add::<Edits>();
                (
                    "Makes many changes, in their order",
                    Some(body),
                    Json(self.add::<Refused>()),
                )
            }
            Route::ReloadFilters => ("Reads the files of all filters again", None, Nothing),
            Route::Services => (
                "Virtual services and real servers in the tables",
                None,
                Json(self.add::<Services>()),
            ),
            Route::Connections => (
                "Connections and templates",
                None,
                Lines(self.add::<Connection>()),
            ),
            Route::DropConnections => {
                let body = self.add::<DropConnections>();
                ("Ends connections", Some(body), Json(self.add::<Dropped>()))
            }
            Route::Why => {
                let body = self.add::<Why>();
                (
                    "The way that a client's packet would take",
                    Some(body),
                    Json(self.add::<Way>()),
                )
            }
            Route::Trace => {
                let body = self.add::<Trace>();
                (
                    "Packets as they are handled",
                    Some(body),
                    Lines(self.add::<TraceLine>()),
                )
            }
            Route::Timeouts => ("Idle timeouts", None, Json(self.add::<Timeouts>())),
            Route::Verdicts => (
                "Packets by verdict",
                None,
                Json(self.list::<VerdictCount>()),
            ),
            Route::Marks => (
                "Rules that give packets firewall marks",
                None,
                Json(self.list::<MarkRule>()),
            ),
            Route::TotalTraffic => (
                "Traffic of all services together",
                None,
                Json(self.add::<TotalTraffic>()),
            ),
            Route::Sysctls => (
                "Settings by the names of net.ipv4.vs",
                None,
                Json(self.list::<SysctlValue>()),
            ),
            Route::Status => (
                "Daemon, interfaces and tables",
                None,
                Json(self.add::<Status>()),
            ),
            Route::Reload => ("Reads the configuration again", None, Nothing),
            Route::Override => (
                "Sets an operator's override of a real server",
                Some(self.add::<Override>()),
                Nothing,
            ),
            Route::ServerByHand => {
                let body = self.add::<ServerByHand>();
                (
                    "Has a real server checked that is not in the file, or removes one",
                    Some(body),
                    Nothing,
                )
            }
            Route::Health => (
                "State of the real servers that are checked",
                None,
                Json(self.add::<Health>()),
            ),
            Route::Events => (
                "Changes of state, as they happen",
                None,
                Lines(self.add::<Event>()),
            ),
            Route::SyncStatus => (
                "Sync daemons of IPVS's protocol",
                None,
                Json(self.add::<SyncStatus>()),
            ),
            Route::SyncCommand => (
                "Starts or stops a sync daemon",
                Some(self.add::<SyncCommand>()),
                Nothing,
            ),
            Route::Peers => (
                "Sessions with other directors",
                None,
                Json(self.add::<PeersStatus>()),
            ),
            Route::Role => (
                "Role and virtual addresses",
                None,
                Json(self.add::<RoleStatus>()),
            ),
            Route::SetRole => ("Changes the role", Some(self.add::<RoleChange>()), Nothing),
            Route::HandOver => (
                "Hands the role over to the peer",
                Some(self.add::<Handover>()),
                Nothing,
            ),
            Route::StepDown => (
                "Gives the virtual addresses up, before the daemon ends",
                None,
                Json(self.add::<SteppedDown>()),
            ),
        }
    }
}

fn document() -> OpenApi {
    let mut components = Components::default();
    let problem = components.add::<Problem>();
    let mut paths = PathsBuilder::new();
    for route in Route::ALL {
        let (summary, body, answer) = components.operation(*route);
        let content = |schema| ContentBuilder::new().schema(Some(schema)).build();
        let failed = ResponseBuilder::new()
            .description("A refusal, or another problem")
            .content(Problem::CONTENT_TYPE, content(problem.clone()));
        let done = ResponseBuilder::new().description("Done");
        let (status, done) = match answer {
            Answer::None => ("204", done),
            Answer::Json(schema) => ("200", done.content("application/json", content(schema))),
            Answer::Lines(schema) => ("200", done.content("application/x-ndjson", content(schema))),
        };
        let method = match route.method().as_str() {
            "GET" => HttpMethod::Get,
            "PUT" => HttpMethod::Put,
            _ => HttpMethod::Post,
        };
        let right = if matches!(method, HttpMethod::Get) {
            "read"
        } else {
            "operate"
        };
        let body = body.map(|schema| {
            let body = RequestBodyBuilder::new().required(Some(Required::True));
            body.content("application/json", content(schema)).build()
        });
        let operation = OperationBuilder::new()
            .operation_id(Some(format!("{route:?}")))
            .summary(Some(summary))
            .description(Some(format!("Over TCP it takes the right to {right}.")))
            .request_body(body)
            .response(status, done)
            .response("default", failed);
        paths = paths.path(route.path(), PathItem::new(method, operation));
    }
    let mut all = ComponentsBuilder::new();
    for (name, schema) in components.0 {
        all = all.schema(name, schema);
    }
    for (name, scheme) in [
        ("password", HttpAuthScheme::Basic),
        ("token", HttpAuthScheme::Bearer),
    ] {
        all = all.security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
    }
    let none: [&str; 0] = [];
    let security = ["password", "token"].map(|name| SecurityRequirement::new(name, none));
    let info = InfoBuilder::new()
        .title("Control API of lvsd")
        .version("1")
        .description(Some(
            "Served at the control socket, and with `lvsd --http` over TCP to those with the right to it. Within a \
             version fields and routes are added only; requests with unknown fields are refused.",
        ));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(all.build()))
        .security(Some(security))
        .build()
}

#[test]
fn the_description_is_that_of_routes_and_types() {
    let text = document().to_pretty_json().unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept == text,
        "openapi.json is another one: UPDATE=1 cargo test -p lvs-api openapi"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document = serde_json::to_value(document()).unwrap();
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"].get(name).is_some(),
            "{name} is not described"
        );
    }
    assert_eq!(document["paths"]["/v1/role"].as_object().unwrap().len(), 2);
}
