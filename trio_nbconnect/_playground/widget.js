
export default {
  render({ model, el }) {
    const waiting = new Map();
    let number = 0;
    const answered = ({ number, text }) => {
      waiting.get(number)?.(text);
      waiting.delete(number);
    };
    const root = document.createElement("div");
    el.append(root);
    model.on("msg:custom", answered);
    const run = (text) =>
      new Promise((resolve) => {
        waiting.set(++number, resolve);
        model.send({ number, text });
      });
    mount(root, { data: JSON.parse(model.get("choices")), run, scene: JSON.parse(model.get("scene")) });
    return () => model.off("msg:custom", answered);
  },
};
