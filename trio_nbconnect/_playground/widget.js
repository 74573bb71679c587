
export default {
  render({ model, el }) {
    const waiting = new Map();
    let number = 0;
    const answered = ({ number, text }) => {
      waiting.get(number)?.(text);
      waiting.delete(number);
    };
    const root = document.createElement("div");
    root.dataset.lmSuppressShortcuts = "true"; // JupyterLab has Ctrl+Z and the arrow keys, too
    el.append(root);
    model.on("msg:custom", answered);
    const run = (text) =>
      new Promise((resolve) => {
        waiting.set(++number, resolve);
        model.send({ number, text });
      });
    const changed = (scene) => {
      model.set("scene", JSON.stringify(scene)); // for a second view of the same cell
      model.save_changes();
    };
    mount(root, { data: JSON.parse(model.get("choices")), run, scene: JSON.parse(model.get("scene")), changed });
    return () => model.off("msg:custom", answered);
  },
};
