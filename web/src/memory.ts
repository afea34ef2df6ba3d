/** What this browser remembers of its user's choices. A browser that forbids it only forgets. */
export function recall(name: string): string | null {
  try {
    return localStorage.getItem(`nim-sidecar.${name}`);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`nim-sidecar.${name}`, value);
  } catch {
    // it is forgotten with the page
  }
}
