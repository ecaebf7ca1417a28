// Package reference writes what people and editors need to know of wherry.yaml, from the model of config and its comments: the
// reference page, the JSON Schema and a sample to begin with. Tests hold the page and the sample to the model. It starts nothing.
package reference
