/* Search in pages that are opened from a folder: browsers start no worker from a file, so its script runs in a hidden frame. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.answer("message", { data: structuredClone(data) });
      const script = inside.document.createElement("script");
      script.src = address;
      this.ready = new Promise((begin) => { script.onload = begin; });
      script.onerror = () => this.answer("error", {});
      inside.document.head.append(script);
    }
    answer(type, content) {
      const event = new MessageEvent(type, content);
      this.dispatchEvent(event);
      this[`on${type}`]?.(event);
    }
    postMessage(data) {
      const message = { data: structuredClone(data) };
      this.ready.then(() => this.frame.contentWindow?.dispatchEvent(new MessageEvent("message", message)));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
