// The log follows its end while a person reads there, and stays where it is when they scrolled up.
(() => {
  "use strict";
  const room = 24; // pixels that count as "at the end"
  let atEnd = true;
  const log = () => document.querySelector(".log.follow");
  const toEnd = () => {
    const l = log();
    if (l && atEnd) l.scrollTop = l.scrollHeight;
  };
  document.addEventListener("scroll", (e) => {
    const l = log();
    if (e.target === l) atEnd = l.scrollHeight - l.scrollTop - l.clientHeight < room;
  }, true);
  document.addEventListener("htmx:sse:after:message", toEnd);
  document.addEventListener("DOMContentLoaded", toEnd);
})();
