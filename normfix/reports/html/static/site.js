"use strict";
(() => {
  const search = document.querySelector("#search");
  const list = document.querySelector("nav details");
  const items = [...document.querySelectorAll("nav li, .front li")];
  const narrow = matchMedia("(max-width: 50rem)");
  const fit = () => { list.open = !narrow.matches; };
  narrow.addEventListener("change", fit);
  fit();
  search.hidden = false;
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
    for (const group of document.querySelectorAll("nav ul, .front ul")) {
      group.previousElementSibling.hidden = [...group.children].every((item) => item.hidden);
    }
    if (narrow.matches && !document.querySelector(".front")) list.open = words.length > 0;
  });
  for (const heading of document.querySelectorAll("article h2")) {
    const kind = { Bad: "bad-code", Good: "good-code" }[heading.textContent.trim()];
    for (let next = heading.nextElementSibling; kind && next && next.tagName !== "H2"; next = next.nextElementSibling) {
      if (next.tagName === "PRE") next.classList.add(kind);
    }
  }
})();
