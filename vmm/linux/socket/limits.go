package socket

// BacklogMax is how many connections wait to be accepted, for each listening socket.
const BacklogMax = 128

const (
	bufferSize = 208 << 10 // bytes that wait in one direction of a connection
	optionMax  = 16        // options of one socket that are kept
	device     = 4         // st_dev: apart from those of pipes and files
	blockSize  = 4096      // st_blksize
)
