// Package integer is what instructions with general registers compute where that takes more than a line: divisions, products of two registers, double shifts,
// and the bits and bit fields of BMI1, BMI2, ADX, LZCNT, POPCNT and CRC32.
//
// It is pure: no memory, no registers, no goroutines.
package integer
