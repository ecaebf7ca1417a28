// What was typed and isn't applied yet, by document. It is lost with the tab.

const drafts = new Map();

// draftOf returns the draft of a document, begun with what holds if there is none.
export function draftOf(name, held) {
  let draft = drafts.get(name);
  if (!draft) {
    draft = { name, base: held.revision, baseText: held.yaml, text: held.yaml, files: [], message: "" };
    drafts.set(name, draft);
  }
  return draft;
}

export function isDirty(draft) {
  return draft.text !== draft.baseText || draft.files.length > 0;
}

// rebase says on what a draft stands from now on.
export function rebase(draft, held, text) {
  Object.assign(draft, { base: held.revision, baseText: held.yaml, text });
}

export function forget(name) {
  drafts.delete(name);
}

export function hasDrafts() {
  return [...drafts.values()].some(isDirty);
}

export function forgetDrafts() {
  drafts.clear();
}
