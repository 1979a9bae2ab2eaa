"use strict";
(() => {
  const search = document.querySelector("#search");
  const items = [...document.querySelectorAll("nav li")];
  search.hidden = false;
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
    for (const list of document.querySelectorAll("nav ul")) {
      list.previousElementSibling.hidden = [...list.children].every((item) => item.hidden);
    }
  });
  for (const heading of document.querySelectorAll("article h2")) {
    const kind = { Bad: "bad-code", Good: "good-code" }[heading.textContent.trim()];
    for (let next = heading.nextElementSibling; kind && next && next.tagName !== "H2"; next = next.nextElementSibling) {
      if (next.tagName === "PRE") next.classList.add(kind);
    }
  }
})();
