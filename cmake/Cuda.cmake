# SWITCHYARD_CUDA = AUTO | ON | OFF. With a toolkit, the CUDA runtime is linked (it loads on machines without a driver).
set(SWITCHYARD_CUDA_VERSION "")
set(SWITCHYARD_NCCL_VERSION "")
set(SWITCHYARD_CUDA_ARCHITECTURES "")
if(NOT SWITCHYARD_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SWITCHYARD_CUDA is \"${SWITCHYARD_CUDA}\", expected AUTO, ON or OFF")
endif()
