// Package vault keeps the secrets of programs in control's store, sealed, for the edges whose settings name them.
//
//	vault/about/ID    a record: of which program and variable it is, who sent it when
//	vault/sealed/ID   the value by AES-256-GCM under control's key, with "program secret " and ID as what it belongs to: nonce, ciphertext, tag
//
// Promises. IDs are random and say nothing of values; nothing but Open, AddTo and Export returns a value. What settings name stays; the rest goes once it is older than Grace, when somebody sends
// another one or Prune is called. There are at most SecretsMax, and settings name at most TogetherMax bytes of them.
//
// It doesn't know who may ask, nor what names a secret: Options.Named does. Sealer also seals what else control keeps. It has no goroutines; a Vault is safe for use by many.
package vault
