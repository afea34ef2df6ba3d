/** A component that is drawn again only when its props say so. (preact/compat has one, and much that is not needed here.) */
import { Component, type ComponentChild, h } from "preact";

export function memo<P extends object>(draw: (props: P) => ComponentChild, same: (a: P, b: P) => boolean) {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props as P, next);
    }
    override render() {
      return h(draw as never, this.props);
    }
  };
}
