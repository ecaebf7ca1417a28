package main

import (
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	checksHistories = true
	checkTimeout    = time.Minute
)

// registers is a map of values.
var registers = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		keys := map[string][]porcupine.Operation{}
		for _, o := range all {
			key := o.Input.(op).key
			keys[key] = append(keys[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range keys {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		switch o, now := input.(op), state.(string); o.kind {
		case "get":
			return o.value == now, now
		case "put":
			return true, o.value
		default:
			return o.from == now, o.value
		}
	},
}

// terms is the newest term that acted.
var terms = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		o := input.(op)
		return o.term >= state.(int64), o.term
	},
}

// linearizable checks the histories of the registers, and of the leader's actions together with the steps of control.Lead. known is false if that took too long.
func linearizable(ops, leads []op) (registersOK, leadersOK, known bool) {
	done, denied := settled(ops)
	var values, acts []porcupine.Operation
	for _, o := range leads {
		acts = append(acts, porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Return: int64(o.ret)})
	}
	for _, o := range done {
		o.client += len(leads)
		p := porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Return: int64(o.ret)}
		switch o.kind {
		case "act":
			acts = append(acts, p)
		case "get", "put", "cas":
			values = append(values, p)
		}
	}
	a := porcupine.CheckOperationsTimeout(registers, values, checkTimeout)
	b := porcupine.CheckOperationsTimeout(terms, acts, checkTimeout)
	return a != porcupine.Illegal && denied == 0, b != porcupine.Illegal, a != porcupine.Unknown && b != porcupine.Unknown
}
