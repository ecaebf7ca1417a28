package disk

// Ticket returns b without its head and its file: enough for Live and SetHead, and nothing that takes room.
func (b *Blob) Ticket() *Blob {
	return &Blob{Key: b.Key, Variant: b.Variant, v: b.v, entry: b.entry}
}

// Moved says whether the blob lives on in another segment than b reads from. Who keeps b keeps that one's room from being used.
func (b *Blob) Moved() bool {
	e, ok := b.v.index.current(b.entry.key, b.entry.variant)
	return ok && e.same(&b.entry) && e.bodySeg != b.entry.bodySeg
}
