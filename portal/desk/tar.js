// Writes a tar archive (POSIX.1-1988 ustar). Pure.

const blockBytes = 512;

// tar returns an archive of files, {name, content}, content being bytes. A name that a header can't hold is an error.
export function tar(files) {
  const blocks = [];
  for (const { name, content } of files) {
    blocks.push(header(name, content.length), content, new Uint8Array((blockBytes - (content.length % blockBytes)) % blockBytes));
  }
  blocks.push(new Uint8Array(2 * blockBytes));
  return new Blob(blocks);
}

function header(path, size) {
  const text = new TextEncoder();
  const [prefix, name] = split(path, (part) => text.encode(part).length);
  const block = new Uint8Array(blockBytes);
  const put = (at, value) => block.set(text.encode(value), at);
  put(0, name);
  put(100, "0000600\0"); // keys may be among them
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(124, `${size.toString(8).padStart(11, "0")}\0`);
  put(136, `${Math.floor(Date.now() / 1000).toString(8).padStart(11, "0")}\0`);
  put(148, "        "); // the sum is made over spaces
  put(156, "0");
  put(257, "ustar\x0000");
  put(345, prefix);
  const sum = block.reduce((all, byte) => all + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

// split finds where a path that is longer than 100 bytes is cut: in a prefix of 155 and a name of 100.
function split(path, length) {
  if (length(path) <= 100) return ["", path];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    if (length(path.slice(0, at)) <= 155 && length(path.slice(at + 1)) <= 100) return [path.slice(0, at), path.slice(at + 1)];
  }
  throw { title: "Not exported", detail: `The name ${path} is too long for a tar archive.`, action: "Use wherry export --dir DIR." };
}
