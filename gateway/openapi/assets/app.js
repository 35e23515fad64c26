// The filter of the docs page. Without this file the page is whole, only longer.
"use strict";
(() => {
  const input = document.getElementById("filter");
  const none = document.getElementById("none");
  const entries = [...document.querySelectorAll("nav li[data-for]")].map((item) => {
    const article = document.getElementById(item.dataset.for);
    return { item, article, text: (article.id + " " + article.textContent).toLowerCase() };
  });
  const sections = [...document.querySelectorAll("[data-group]")];

  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { item, article, text } of entries) {
      const hit = words.every((word) => text.includes(word));
      item.hidden = article.hidden = !hit;
      shown += hit;
    }
    for (const section of sections) {
      section.hidden = !section.querySelector("li:not([hidden]), article:not([hidden])");
    }
    none.hidden = shown > 0;
  };

  input.hidden = false;
  input.addEventListener("input", apply);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape" && document.activeElement === input) {
      input.value = "";
      apply();
      input.blur();
    }
  });
  apply();

  // Mark the operation that is being read.
  const links = new Map(entries.map(({ item, article }) => [article, item]));
  const seen = new IntersectionObserver((changes) => {
    for (const change of changes) {
      links.get(change.target).classList.toggle("here", change.isIntersecting);
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const article of links.keys()) seen.observe(article);
})();
