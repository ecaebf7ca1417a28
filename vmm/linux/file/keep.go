package file

// Every object that a process can change is kept as it was before the first change after a checkpoint, and noted in the Table's log. What is made after
// the checkpoint needs no keeping: nothing that is put back points to it. So the log has at most the objects that were there at the checkpoint.
//
// To be done in every method that changes an object, first: t.keep(&o.kept, o).

// kept says in which of the Table's generations the object was kept last, or made.
type kept struct{ generation uint64 }

// keeper is an object that can keep what it is, and be that again.
type keeper interface {
	save()
	back()
}

func (t *Table) keep(k *kept, o keeper) {
	if k.generation == t.generation {
		return
	}
	k.generation = t.generation
	o.save()
	t.log = append(t.log, o)
}

// made is for the objects that are new.
func (t *Table) made() kept { return kept{generation: t.generation} }
