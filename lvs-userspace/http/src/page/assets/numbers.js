// Numbers and times for people.
"use strict";

const count = (number) => {
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (number >= size) return (number / (unit === "k" ? 1e3 : size)).toFixed(1) + " " + unit;
  }
  return String(Math.round(number));
};
const bytes = (number) => {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (number >= size) return (number / size).toFixed(1) + " " + unit;
  }
  return Math.round(number) + " B";
};
const span = (seconds) => {
  if (seconds === null || seconds === undefined) return "";
  const parts = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0s";
  const [unit, size] = parts[first];
  const next = parts[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  return Math.floor(seconds / size) + unit + (rest ? rest + next[0] : "");
};
// The time of day, with the day if it is another one.
const clock = (time) => {
  const then = new Date(time * 1000);
  const at = then.toLocaleTimeString([], { hour12: false });
  return then.toDateString() === new Date().toDateString() ? at : then.toLocaleDateString() + " " + at;
};
