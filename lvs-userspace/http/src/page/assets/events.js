// Events of the director, as they come. Text of others goes into the document as text, never as markup.
"use strict";

function eventLine(event) {
  const line = element("li");
  const time = element("time", "faint", clock(event.time));
  time.dateTime = new Date(event.time * 1000).toISOString();
  const bad = ["down", "quorum-lost", "fallback-on", "empty", "unanswered", "table-filling", "peer-lost",
      "peer-refused", "peer-differs", "address-conflict", "frames-lost", "handover-failed", "link-down"];
  const kind = bad.includes(event.event) ? "down" : ["drain", "maint"].includes(event.event) ? event.event
      : ["up", "ready", "quorum-gained", "fallback-off", "peer-connected"].includes(event.event) ? "up" : "";
  const subject = event.server ?? event.subject ?? label(event.service);
  line.append(time, element("span", "badge " + kind, event.event),
      element("span", "", [subject, event.reason].filter((it) => it).join(": ")));
  return line;
}
function label(id) {
  if (!id) return "";
  return id.address ? id.address.protocol.toUpperCase() + " " + id.address.address : "FWM " + id.mark.mark;
}
function follow() {
  const source = new EventSource(HERE + "page/events");
  source.onmessage = (message) => {
    const list = $("events");
    list.prepend(eventLine(JSON.parse(message.data)));
    while (list.children.length > 200) list.lastChild.remove();
    soon();
  };
  addEventListener("pagehide", () => source.close());
}
