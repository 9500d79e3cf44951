"""What may start, how much of it at once, and where: policies above the native pool.

topology    processors, caches and memory nodes; placing workers and the order of stealing
affinity    processors and real-time classes for the calling thread
resources   what a task needs; limits that tasks share
config      every setting of an executor, from the program, the environment or a file
admission   holds back what does not fit, without starving it
statistics  what an executor has measured, as frozen records
shutdown    what an executor leaves behind
container   what the control groups allow the process
adaptive    how many workers should be active, by measured throughput
monitor     what the machine, the container and the process are using
"""
