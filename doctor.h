/* doctor.h -- `cnnc doctor` */
#ifndef CNNC_DOCTOR_H
#define CNNC_DOCTOR_H

/* Prints a row for each thing that cnnc needs or can use. Exit code: 0, or 2 where something that is needed is missing. */
int doctor(void);

#endif
