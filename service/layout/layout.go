// Package layout says where and how both modes keep their keys on the nodes. It is on people's disks and can't change.
//
// The scripts of cp and ap name the same fields; whoever only looks (a comparison of the nodes) reads through this package.
package layout

import (
	"strconv"
	"strings"

	"captop/service"
)

// Buckets is the number of groups that the keys of a mode are spread over. All that one script touches lies in one
// bucket, so that it has one hash slot on a Redis Cluster.
const Buckets = 64

// All is every bucket.
func All() []int {
	all := make([]int, Buckets)
	for b := range all {
		all[b] = b
	}
	return all
}

// Bucket gives the bucket of a key, 0 to Buckets-1.
func Bucket(key string) int {
	sum := uint32(2166136261) // FNV-1a, which hash/fnv has only for byte slices
	for i := range len(key) {
		sum = (sum ^ uint32(key[i])) * 16777619
	}
	return int(sum % Buckets)
}

// Fence is the key that is written to a group to have its answers confirmed. It holds nothing.
const Fence = "captop:fence"

// FenceOf is the same key in the slot of a bucket, for a member of a Redis Cluster.
func FenceOf(bucket int) string { return "captop:{" + strconv.Itoa(bucket) + "}fence" }

// Slot is the hash slot of a bucket on a Redis Cluster: CRC16 (XMODEM) of what stands between the braces, modulo 16384.
func Slot(bucket int) int {
	crc := uint16(0)
	for _, c := range []byte(strconv.Itoa(bucket)) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % 16384)
}

// In CP all keys of a bucket share a hash tag:
//
//	cp:{7}k:KEY  hash: one key's state
//	cp:{7}m      hash: s = the run of this node under which the whole bucket is settled; at the tail also
//	             e = the run of the head whose promises are committed, c = how many have been named
//	cp:{7}d      sorted set at the head: dirty keys (as they are called in Redis) by the time of their promise, milliseconds
//	cp:{0}b      sorted set at the head: batches of promises, see Batch, by the same time. A batch that is not ended at once gets
//	             a mark for each of its keys that is dirty instead, in their cp:{7}d
//
// On a Redis Cluster each bucket is a node of its own, and has CPBatchesOf in place of CPBatches.
const (
	CPPrefix = "cp:{"
	cpMiddle = "}k:"
)

// names are the names that all buckets have, made once.
func names(prefix, suffix string) (all [Buckets]string) {
	for b := range all {
		all[b] = prefix + strconv.Itoa(b) + suffix
	}
	return all
}

var (
	cpMetas   = names(CPPrefix, "}m")
	cpDirties = names(CPPrefix, "}d")
	cpKeys    = names(CPPrefix, cpMiddle)
	apKeys    = names(APPrefix, apMiddle)
	apDirties = names(APPrefix, "}d")
)

// CPBucket begins the names of all that a bucket of CP has.
func CPBucket(bucket int) string { return strings.TrimSuffix(cpMetas[bucket], "m") }

// CPBatches is the set of batches of promises that were not ended yet.
const CPBatches = CPPrefix + "0}b"

// CPBatchesOf is the same of one bucket, for a member of a Redis Cluster.
func CPBatchesOf(bucket int) string { return CPPrefix + strconv.Itoa(bucket) + "}bb" }

// CPMeta is the hash about a bucket of CP.
func CPMeta(bucket int) string { return cpMetas[bucket] }

// CPDirty is the set of a bucket's dirty keys in CP.
func CPDirty(bucket int) string { return cpDirties[bucket] }

// CPKeys begins the names of the hashes of all keys of a bucket in CP; the user's key follows.
func CPKeys(bucket int) string { return cpKeys[bucket] }

// CPKey is the hash of a key in CP.
func CPKey(key string) string { return CPKeys(Bucket(key)) + key }

// CPUserKey gives the key that a name in Redis stands for in CP.
func CPUserKey(name string) (string, bool) {
	if !strings.HasPrefix(name, CPPrefix) {
		return "", false
	}
	_, key, ok := strings.Cut(name, cpMiddle)
	return key, ok
}

// CPSettled is the field of CPMeta and of CPKey with the run of the node under which it is settled.
const CPSettled = "s"

// The fields of CPMeta that tell of a node that was emptied while it ran: its run and a token, in one text.
const (
	CPMark  = "r" // at the node itself, made when its run is first named to its peer
	CPNamed = "g" // at the peer
)

// The fields of a key's hash in CP beside CPSettled, as far as reading needs them.
const (
	CPVersion      = "n"  // the version that is the value
	CPTransaction  = "t"  // the write that it came with
	CPValue        = "v"  //
	CPPromised     = "dn" // at the head: the version in flight
	CPPromisedBy   = "dt" // at the head: the write that it comes with
	CPPromisedText = "dv" // at the head: its value
	CPPromisedAt   = "da" // at the head: when, in milliseconds of its clock; absent once the key has a mark of its own
)

// In AP each key is a register:
//
//	ap:{7}k:KEY  hash: one key's register
//	ap:{7}d      sorted set: keys that the peer lacks a write of, by this node's clock (microseconds) at the oldest such write
//	ap:{0}m      hash about the node: settled, the run id under which it was last reconciled; asof, see asof.lua of
//	             package ap; while it is being reconciled: rejoin, whose token that is; beat, the last progress; done and total
//	ap:{0}l      who carries this node's dirty keys to its peer
//	ap:{0}b      sorted set: batches of writes that the peer lacks, see Batch, by this node's clock (microseconds) at the
//	             oldest of them. A batch that is not carried at once gets a mark for each of its keys instead, in their ap:{7}d;
//	             what is carried from there is a batch again meanwhile
const (
	APPrefix  = "ap:{"
	apMiddle  = "}k:"
	APMeta    = "ap:{0}m"
	APLease   = "ap:{0}l"
	APBatches = "ap:{0}b"
)

// On a Redis Cluster each bucket is a node of its own, and has what the node has otherwise: APMetaOf, APLeaseOf and APBatchesOf
// in place of APMeta, APLease and APBatches. The names differ, so that neither can be taken for the other.
func APMetaOf(bucket int) string    { return APPrefix + strconv.Itoa(bucket) + "}bm" }
func APLeaseOf(bucket int) string   { return APPrefix + strconv.Itoa(bucket) + "}bl" }
func APBatchesOf(bucket int) string { return APPrefix + strconv.Itoa(bucket) + "}bb" }

// Batch is the mark of writes that went to a node in one round trip: a name that no other batch has, and the keys, a line each.
// No key holds an end of line (service.CheckKey).
func Batch(name string, keys []string) string {
	mark := []byte(name)
	for _, key := range keys {
		mark = append(append(mark, '\n'), key...)
	}
	return string(mark)
}

// BatchKeys gives the keys of a batch.
func BatchKeys(mark string) []string { return strings.Split(mark, "\n")[1:] }

// APRegisters begins the names of all registers of a bucket; the user's key follows.
func APRegisters(bucket int) string { return apKeys[bucket] }

// APRegister is the hash of a key in AP.
func APRegister(key string) string { return APRegisters(Bucket(key)) + key }

// APDirty is the set of a bucket's keys that the peer lacks a write of.
func APDirty(bucket int) string { return apDirties[bucket] }

// APUserKey gives the key of a register's name; false for whatever else lies in the same Redis.
func APUserKey(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, APPrefix)
	if !ok {
		return "", false
	}
	_, key, ok := strings.Cut(rest, apMiddle)
	return key, ok && APRegister(key) == name
}

// APSettled is the field of APMeta with the run of the node under which it was reconciled.
const APSettled = "settled"

// The fields of a register.
const (
	APStamp  = "t" // of the clock: microseconds
	APOrigin = "o" // the instance that drew it
	APValue  = "v"
)

// APVersion writes a register's version as clients see it.
func APVersion(stamp, origin string) service.Version { return service.Version(stamp + "." + origin) }

// RunIDDigits is how much of a run id (40 hex digits) stands in the data: 64 bits tell any two runs apart.
const RunIDDigits = 16
