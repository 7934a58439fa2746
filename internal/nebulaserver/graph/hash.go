package graph

import "encoding/binary"

// Hash is the server's hash of bytes: MurmurHash2 for 64 bits.
func Hash(s string) int64 {
	const m, seed = 0xc6a4a7935bd1e995, 0xc70f6907
	h := uint64(seed) ^ uint64(len(s))*m
	b := []byte(s)
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		h = (h ^ (k^k>>47)*m) * m
	}
	if len(b) > 0 {
		for i, c := range b {
			h ^= uint64(c) << (8 * i)
		}
		h *= m
	}
	h = (h ^ h>>47) * m
	return int64(h ^ h>>47) //nolint:gosec // the bits as they are
}

// partOf is the partition, from 1, that an id belongs to: by value if it has eight bytes, else by its hash, which
// stops at a NUL.
func partOf(vid any, parts int) int {
	var h uint64
	switch v := vid.(type) {
	case int64:
		h = uint64(v) //nolint:gosec // the bits as they are
	case string:
		if len(v) == 8 {
			h = binary.LittleEndian.Uint64([]byte(v))
			break
		}
		for i := range len(v) {
			if v[i] == 0 {
				v = v[:i]
				break
			}
		}
		h = uint64(Hash(v)) //nolint:gosec // the bits as they are
	}
	return int(h%uint64(parts)) + 1 //nolint:gosec // parts is positive
}
