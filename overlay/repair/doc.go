// Package repair makes rows of parity for rows of bytes, and rebuilds what is missing of them: Reed and Solomon's code over GF(2^8).
//
// Bytes are written into rows of one size, the last one filled up with zeros. Parity row i is Σ row j · g^i^(k-1-j), with g = 2: row 0 is the plain sum, as
// in RAID 5, and row 1 what RAID 6 adds. Each column is a code word for itself. So a gap of at most a row's size, wherever it begins, is one
// erasure in the columns that it touches, and as many gaps can be rebuilt as there are parity rows.
//
// It is pure, and knows nothing of packets, time or streams. What can't be rebuilt is left as it is.
package repair
