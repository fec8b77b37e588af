//! The table as HAProxy's statistics have it (its management guide, 9.1): monitoring programs read these columns by
//! name or place. What has no meaning here is empty.

use std::fmt::Write as _;

use lvs_api::model::ServiceId;
use lvs_api::protocol::Traffic;
use lvs_api::rows::{ServerRow, ServiceRow, Shown};

use crate::history::{History, Series};

/// Names of the columns, in their places.
const COLUMNS: &str = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,\
    status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,\
    rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,\
    hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,\
    last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,\
    check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,\
    conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,\
    rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,";

/// A row, by the names of its columns.
#[derive(Default)]
struct Row(Vec<(&'static str, String)>);

impl Row {
    #[expect(clippy::needless_pass_by_value, reason = "most are numbers")]
    fn set(&mut self, column: &'static str, value: impl ToString) {
        self.0.push((column, value.to_string()));
    }

    fn write(&self, out: &mut String) {
        for column in COLUMNS.split(',').filter(|column| !column.is_empty()) {
            if let Some((_, value)) = self.0.iter().find(|(name, _)| *name == column) {
                field(out, value);
            }
            out.push(',');
        }
        out.push('\n');
    }
}

/// Writes a field as RFC 4180 has it.
fn field(out: &mut String, value: &str) {
    if value.contains(['"', ',', '\n', '\r']) {
        let _ = write!(out, "\"{}\"", value.replace('"', "\"\""));
    } else {
        out.push_str(value);
    }
}

/// The table: of each virtual service a frontend, its real servers, and a backend.
pub(super) fn table(rows: &[ServiceRow<'_>], history: &History) -> String {
    let mut out = format!("# {COLUMNS}\n");
    let kept = history.kept();
    for (number, service) in rows.iter().enumerate() {
        let of_service = kept.series(service.id, None);
        total(service, number, of_service, "FRONTEND").write(&mut out);
        for (place, server) in service.servers.iter().enumerate() {
            let of_server = kept.series(service.id, Some(server.address));
            real_server(service, number, server, place, of_server).write(&mut out);
        }
        total(service, number, of_service, "BACKEND").write(&mut out);
    }
    out
}

fn name(service: &ServiceRow<'_>) -> String {
    match service.name() {
        "" => service.label.clone(),
        name => name.to_owned(),
    }
}

fn traffic(row: &mut Row, open: u64, stats: &Traffic, rates: &Traffic, series: Option<&Series>) {
    row.set("scur", open);
    row.set("smax", series.map_or(0, |it| u64::from(it.most)).max(open));
    row.set("stot", stats.connections);
    row.set("bin", stats.in_bytes);
    row.set("bout", stats.out_bytes);
    row.set("rate", rates.connections);
    row.set(
        "rate_max",
        series
            .map_or(0, |it| u64::from(it.most_rate))
            .max(rates.connections),
    );
    row.set("mode", "tcp");
}

/// The row of a service as a whole.
fn total(
    service: &ServiceRow<'_>,
    number: usize,
    series: Option<&Series>,
    kind: &'static str,
) -> Row {
    let mut row = Row::default();
    row.set("pxname", name(service));
    row.set("svname", kind);
    row.set("pid", 1);
    row.set("iid", number + 1);
    row.set("sid", 0);
    let servers = service.servers.iter().filter_map(|it| it.entry);
    let open = servers
        .map(|it| u64::from(it.active) + u64::from(it.inactive))
        .sum();
    let (stats, rates) = service
        .entry
        .map(|it| (it.stats, it.rates))
        .unwrap_or_default();
    traffic(&mut row, open, &stats, &rates, series);
    if kind == "FRONTEND" {
        row.set("type", 0);
        row.set("status", "OPEN");
        if let ServiceId::Address { address, .. } = service.id {
            row.set("addr", address);
        }
        return row;
    }
    row.set("type", 1);
    let serves =
        |it: &&ServerRow<'_>| matches!(it.state(), Shown::Up | Shown::Unchecked) && it.weight() > 0;
    let serving = service.servers.iter().filter(serves);
    let is_backup = |it: &&ServerRow<'_>| it.health.is_some_and(|it| it.backup);
    row.set(
        "status",
        if serving.clone().next().is_some() {
            "UP"
        } else {
            "DOWN"
        },
    );
    row.set(
        "weight",
        serving.clone().map(ServerRow::weight).sum::<u32>(),
    );
    row.set("act", serving.clone().filter(|it| !is_backup(it)).count());
    row.set("bck", serving.filter(is_backup).count());
    row.set("lbtot", stats.connections);
    row.set(
        "algo",
        service.entry.map_or("", |it| &it.settings.scheduler),
    );
    row
}

fn real_server(
    service: &ServiceRow<'_>,
    number: usize,
    server: &ServerRow<'_>,
    place: usize,
    series: Option<&Series>,
) -> Row {
    let mut row = Row::default();
    row.set("pxname", name(service));
    let server_name = if server.name().is_empty() {
        &server.label
    } else {
        server.name()
    };
    row.set("svname", server_name);
    row.set("type", 2);
    row.set("pid", 1);
    row.set("iid", number + 1);
    row.set("sid", place + 1);
    row.set("addr", server.address);
    let open = server
        .entry
        .map_or(0, |it| u64::from(it.active) + u64::from(it.inactive));
    let (stats, rates) = server
        .entry
        .map(|it| (it.stats, it.rates))
        .unwrap_or_default();
    traffic(&mut row, open, &stats, &rates, series);
    row.set("lbtot", stats.connections);
    row.set("weight", server.weight());
    row.set(
        "status",
        match server.state() {
            Shown::Up => "UP",
            Shown::Down => "DOWN",
            Shown::Drain => "DRAIN",
            Shown::Maint => "MAINT",
            Shown::Unknown | Shown::Unchecked => "no check",
        },
    );
    if let Some(limit) = server
        .entry
        .map(|it| it.settings.upper)
        .filter(|limit| *limit > 0)
    {
        row.set("slim", limit);
    }
    let backup = server.health.is_some_and(|it| it.backup);
    row.set("act", u32::from(!backup));
    row.set("bck", u32::from(backup));
    if let Some(health) = server.health {
        row.set("chkfail", health.checks_failed);
        row.set("chkdown", health.times_down);
        row.set("lastchg", health.age);
        row.set("downtime", health.seconds_down);
        row.set("check_duration", health.took_us / 1000);
        row.set("last_chk", &health.last);
        row.set("uweight", health.configured);
    }
    row
}

#[cfg(test)]
mod tests {
    use lvs_api::rows::rows;

    use super::*;
    use crate::sample::snapshot;

    #[test]
    fn every_row_has_every_column() {
        let snapshot = snapshot(1, 2);
        let table = table(
            &rows(&snapshot.services, snapshot.health.as_ref()),
            &History::default(),
        );
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 5, "{table}");
        assert_eq!(lines[0].trim_start_matches("# ").split(',').count(), 101);
        for line in &lines[1..] {
            assert_eq!(line.split(',').count(), 101, "{line}");
        }
        let column = |line: &str, name: &str| {
            let place = COLUMNS
                .split(',')
                .position(|column| column == name)
                .unwrap();
            line.split(',').nth(place).unwrap().to_owned()
        };
        assert_eq!(column(lines[1], "svname"), "FRONTEND");
        assert_eq!(column(lines[2], "type"), "2");
        assert_eq!(column(lines[4], "svname"), "BACKEND");
        assert_eq!(column(lines[2], "status"), "UP");
    }

    #[test]
    fn fields_are_quoted_where_they_have_to_be() {
        let mut out = String::new();
        field(&mut out, "no \"answer\", really");
        assert_eq!(out, "\"no \"\"answer\"\", really\"");
    }
}
