// Uploading a file: announced to the API, sent in one piece with its progress, then followed by the page of the list.
"use strict";

(() => {
  const prefix = document.body.dataset.prefix;
  const form = document.getElementById("upload-form");
  const bar = document.getElementById("upload-progress");
  const detail = document.getElementById("upload-detail");
  const button = form.querySelector("button");

  function say(text, isProblem = false) {
    detail.textContent = text;
    detail.classList.toggle("problem", isProblem);
  }

  async function ask(answer) {
    const body = await answer.json();
    if (!answer.ok) throw new Error(`${body.error.message} ${body.error.next_step}`);
    return body.data;
  }

  function send(address, file) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", address);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.responseType = "json";
      request.upload.onprogress = (event) => {
        if (!event.lengthComputable) return;
        bar.value = (100 * event.loaded) / event.total;
        say(`${Math.floor(bar.value)} % sent`);
      };
      request.onload = () => {
        if (request.status < 300) resolve(request.response.data);
        else reject(new Error(`${request.response.error.message} ${request.response.error.next_step}`));
      };
      request.onerror = () => reject(new Error("The connection ended. Send the file again."));
      request.send(file);
    });
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = document.getElementById("upload-file").files[0];
    const name = document.getElementById("upload-name").value.trim();
    if (!file) return;
    if (file.size > Number(form.dataset.limit)) {
      say("The file is larger than this server takes. Add it by its path instead.", true);
      return;
    }
    button.disabled = true;
    bar.hidden = false;
    bar.value = 0;
    say("Starting…");
    try {
      const wanted = { filename: file.name, size_bytes: file.size, ...(name ? { name } : {}) };
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted) };
      const announced = await ask(await fetch(`${prefix}/api/uploads`, options));
      const sent = await send(`${prefix}/api/uploads/${announced.upload_id}`, file);
      location.assign(`${prefix}/datasets?job=${encodeURIComponent(sent.job_id)}`);
    } catch (error) {
      say(error.message, true);
      bar.hidden = true;
      button.disabled = false;
    }
  });
})();
